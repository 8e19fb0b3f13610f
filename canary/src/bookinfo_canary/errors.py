"""What ends a canary other than success. Each message is one line for a person."""


class CanaryError(Exception):
    """Something that was needed did not work: a command failed, the metrics could not be read."""


class RefusedError(CanaryError):
    """It was not begun, so nothing was changed."""


class StoppedError(CanaryError):
    """Somebody asked the program to end."""


class BadCanaryError(CanaryError):
    """The gate did not let the canary pass."""


class NotRestoredError(CanaryError):
    """The stable route could not be put back: the canary may still get requests."""
