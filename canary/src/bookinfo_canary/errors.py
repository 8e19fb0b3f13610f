"""Why a release ends without success. Each message is one line for a person."""


class CanaryError(Exception):
    """Something that the controller needs failed, such as kubectl or the metrics source."""


class RejectedError(CanaryError):
    """The release was rejected before it changed anything."""


class StoppedError(CanaryError):
    """A signal stopped the controller."""


class CanaryFailedError(CanaryError):
    """The gate rejected the canary."""


class RollbackFailedError(CanaryError):
    """The stable route could not be restored, so the canary may still receive requests."""
