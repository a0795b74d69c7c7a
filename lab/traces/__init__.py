"""Recorded load from files: forms (reading them) -> resample (each `SAMPLE_S`) -> `PoolSample`s."""
