"""Bookinfo: details."""
