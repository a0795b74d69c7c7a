"""A cluster of Ray nodes on this machine that Ray's own autoscaler makes larger and smaller.

`LocalCluster` starts and ends it, for `ossa cluster`; `RayletProvider` is what the autoscaler's process imports.
"""
