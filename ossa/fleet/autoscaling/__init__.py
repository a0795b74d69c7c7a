"""The scaler in the controller: every ten seconds a sample, a decision, and what follows from it.

usage.py       CPU and memory that agents use
scaler.py      traffic, usage and sizes -> samples -> forecast -> decision -> sizes, standbys, nodes
forecaster.py  the predictor as a Ray actor, and its client
"""
