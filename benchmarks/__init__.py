"""The performance of the four services, relative to the least that such a chain can cost: `python -m benchmarks`."""
