"""The scaler in the controller: every ten seconds a sample, a decision, and what follows from it.

scaler.py      traffic, usage of CPU and memory, and sizes -> samples -> forecast -> decision -> sizes, standbys, nodes
forecaster.py  the predictor as a Ray actor, and its client
"""
