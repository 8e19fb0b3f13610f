"""Check the subject of a commit message, as the commit-msg hook of pre-commit. See docs/style.md for the rules."""

import sys
from pathlib import Path

MAX_LENGTH = 72


def problem(message: str) -> str | None:
    """What is wrong with the first line of `message`, and what to do; None if it is valid."""
    lines = message.splitlines()
    subject = lines[0] if lines else ""
    # Git writes these subjects itself, or a rebase removes them.
    if subject.startswith(("Merge ", "Revert ", "fixup! ", "squash! ")):
        return None
    if not subject.strip():
        return "the subject is empty; describe the change in one line"
    if len(subject) > MAX_LENGTH:
        return f"the subject has {len(subject)} characters; use at most {MAX_LENGTH}, and move the reason into the body"
    if subject.endswith("."):
        return "the subject ends with a period; remove it"
    if len(lines) > 1 and lines[1].strip() and not lines[1].startswith("#"):
        return "the second line is not empty; separate the subject from the body"
    return None


if __name__ == "__main__":
    file = Path(sys.argv[1])
    if error := problem(file.read_text(encoding="utf-8")):
        sys.exit(f"{file.name}, line 1: {error}")
