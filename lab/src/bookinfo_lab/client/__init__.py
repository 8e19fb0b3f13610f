"""Talks to a running lab: HTTP, state, logs, load."""
