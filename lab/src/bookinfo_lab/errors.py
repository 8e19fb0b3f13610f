"""What goes wrong in front of the user."""


class LabError(Exception):
    """One clear line: what is wrong, where, and what to do. Printed as it is, never with a traceback."""


_MOST = 500


def brief(text: str) -> str:
    """`text`, with its middle left out where it is too long to be read: what is wrong stands at an end of it."""
    return text if len(text) <= _MOST else f"{text[: _MOST // 2]} … {text[-_MOST // 2 :]}"
