"""Bookinfo: chassis."""
