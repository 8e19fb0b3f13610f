"""Istio's API as far as the lab implements it: typed, strict, with no effect of its own."""

from bookinfo_lab.resources.model.rules import Rules

__all__ = ["Rules"]
