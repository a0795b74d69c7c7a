"""What `python -m benchmarks.routing` is made of."""
