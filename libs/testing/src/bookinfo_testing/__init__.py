"""Fakes, fixtures and helpers that the tests of several directories share. Only for development, never shipped."""
