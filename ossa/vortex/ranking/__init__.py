"""Small models that say what of a text will be needed. Trained by `benchmarks.training`; numpy alone to run them."""
