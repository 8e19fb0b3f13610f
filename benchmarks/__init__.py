"""How fast the four services are, beside the least that a chain of their shape can cost: `python -m benchmarks`."""
