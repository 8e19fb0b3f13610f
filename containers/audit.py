"""Asks whether a locked package has a known vulnerability, and first whether the one that answers knows any.

Exits 0: every package was looked up, and none has one; 1: one has, or could not be looked up; 2: nobody here knows.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements/dev.txt", "requirements/containers.txt")
"""The one resolution, which the other files are cut from, and the one that is apart."""

SERVICES = ("pypi", "osv")
KNOWN_VULNERABLE = "jinja2==2.4.1"  # CVE-2014-0012, CVE-2019-10906 and others

Ask = Callable[[str, Sequence[str]], Any]
"""What a service says of requirements files: pip-audit's JSON, or None where it does not answer."""


@dataclass(frozen=True)
class Verdict:
    """What to tell, and the process' exit code."""

    lines: tuple[str, ...]
    code: int


def audit(ask: Ask, canary: str, locks: Sequence[str]) -> Verdict:
    """Judge `locks` by the first service that knows of the vulnerabilities of what the file `canary` names."""
    for service in SERVICES:
        if _vulnerable(ask(service, [canary])):
            return _judge(service, ask(service, locks))
    return Verdict(
        (f"audit: no advisory data here: nobody who answers knows that {KNOWN_VULNERABLE} is vulnerable",), 2
    )


def _judge(service: str, answer: Any) -> Verdict:
    if answer is None:
        return Verdict((f"audit: {service} knows of vulnerabilities, but does not answer for the locks",), 1)
    dependencies = answer["dependencies"]
    found = [
        f"audit: {item['name']} {item['version']}: {problem['id']}, corrected in {', '.join(problem['fix_versions'])}"
        for item in _vulnerable(answer)
        for problem in item["vulns"]
    ]
    skipped = [f"audit: {item['name']}: {item['skip_reason']}" for item in dependencies if "skip_reason" in item]
    summary = f"audit: {len(dependencies) - len(skipped)} packages asked of {service}, {len(found)} vulnerabilities"
    return Verdict((*found, *skipped, summary), 1 if found or skipped else 0)


def _vulnerable(answer: Any) -> list[Any]:
    return [item for item in answer["dependencies"] if item.get("vulns")] if answer else []


def pip_audit(service: str, files: Sequence[str]) -> Any:
    """pip-audit's answer. It looks names and versions up and installs nothing."""
    # pip-audit exits 1 both for what it found and for a service that it cannot reach; only the former prints JSON.
    done = subprocess.run(  # noqa: S603 - the locked tool
        [
            *(sys.executable, "-m", "pip_audit", "--vulnerability-service", service, "--format", "json"),
            *("--disable-pip", "--no-deps", "--progress-spinner", "off"),
            *(argument for file in files for argument in ("--requirement", file)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        return None


def main() -> None:
    """Judge the locks."""
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary.txt"
        canary.write_text(f"{KNOWN_VULNERABLE}\n")
        verdict = audit(pip_audit, str(canary), LOCKS)
    sys.stdout.writelines(f"{line}\n" for line in verdict.lines)
    sys.exit(verdict.code)


if __name__ == "__main__":
    main()
