"""What every Bookinfo service shares. Each module stands alone; a service can be read without opening any of them."""

import os

# FastAPI loads OpenTelemetry's propagators of this name at its import, and ends it where one is not installed. None of
# them is ever used: W3C and B3 both pass, always (`propagation`).
os.environ.pop("OTEL_PROPAGATORS", None)
