"""Shared by training jobs: a search on Ray Tune, the promotion rule, options, stores, and a Ray to run on."""
