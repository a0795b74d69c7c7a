"""What `benchmarks.compression` is made of: sets, methods, measures."""
