"""Changes to the process' environment that must come before the first import of FastAPI."""

import os


def discard_propagators() -> None:
    """Delete OTEL_PROPAGATORS.

    FastAPI loads the propagators of this variable at import and raises an error if one of them is not installed. The
    services never use them: they always propagate both W3C and B3 (`propagation`).
    """
    os.environ.pop("OTEL_PROPAGATORS", None)
