"""The Ray that trials run on."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start_ray(cpus: int) -> None:
    """The Ray of `RAY_ADDRESS` (a job has it), else one of its own."""
    from ossa.app.ray_token import ensure_ray_token

    ensure_ray_token()
    import ray

    if ray.is_initialized():
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    else:
        paths = {"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}}
        # "local": without it Ray would join whatever cluster runs on this machine.
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, runtime_env=paths)
