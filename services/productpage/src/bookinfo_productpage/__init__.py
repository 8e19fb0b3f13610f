"""productpage: the page, the session and the public API."""
