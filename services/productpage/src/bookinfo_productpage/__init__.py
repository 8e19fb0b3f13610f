"""productpage: the web page, the session and the public API."""
