"""Bookinfo: reviews."""
