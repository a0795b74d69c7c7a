"""Measures the code against a base commit and against its limits: `python -m scripts.house --base COMMIT`."""
