"""Watching what runs: traces as they come in."""
