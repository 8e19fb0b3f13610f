"""Bookinfo: productpage."""
