"""Composition root: settings -> stores -> actors -> Serve apps.

bootstrap.py      the folder of a fleet's data, the first API key, the fleet's identity
sizing.py         how many agents a machine or a cluster holds
local_ray.py      a Ray head of our own, stopped by its session and nothing else
services.py       the embedded PostgreSQL and model, where none is configured
factories.py      what actors get to build their own stores and runners
connections.py    PostgreSQL, the cache and the event bus that processes share
deployment.py     controller and gateway on a cluster
local_fleet.py    all of it on one machine: `ossa up`
cluster_fleet.py  all of it on a cluster that is there: `ray job submit`
run_file.py       what `ossa up` leaves for `ossa down` and the SDK
"""
