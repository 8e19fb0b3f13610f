"""The optimizations of the request path. README.md says what each costs and saves, and how to switch it off."""
