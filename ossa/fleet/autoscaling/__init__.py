"""The scaler in the controller: every ten seconds one tick, a decision, and what follows from it.

usage.py           what agents use of CPU and memory
samples.py         traffic, usage and places -> one sample a pool
scaler.py          samples -> forecast -> decision -> sizes, standbys, nodes
rules.py           settings -> the rules of this fleet
forecaster.py      the predictor as a Ray actor, and the way to it
"""
