"""Bookinfo: ratings."""
