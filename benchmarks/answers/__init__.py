"""What `benchmarks.semantic_cache` is made of."""
