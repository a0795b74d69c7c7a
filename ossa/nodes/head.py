"""The head: GCS, dashboard and autoscaler. It has no logical CPU, so that no agent runs there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

from ossa.app.local_ray import READY_MARK, end_session, own_folder, set_environment
from ossa.app.ports import free_ports
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import NotReady
from ossa.nodes.plan import ClusterPlan
from ossa.nodes.raylet import OWN_PORTS, RAY_START
from ossa.nodes.run_folder import HEAD_ID, MARK, ClusterRun, RunFolder, start_session

START_TIMEOUT_S = 120.0
HEAD_STORE_BYTES = 81_788_928
"""78 MiB, near Ray's minimum: nothing on the head keeps objects."""

UPDATE_S = "1"
"""Seconds between the autoscaler's rounds; Ray's default is 5."""

HEALTH_CHECK_MS = "1000"
"""Five refused checks in a row mean a dead raylet; a slow one has 10 s for each."""


def start_head(plan: ClusterPlan, folder: RunFolder, gateway: GatewaySettings, run_id: str) -> ClusterRun:
    """Starts the head, records it at once, and waits until it is up. Raises `NotReady` with the end of its log."""
    gcs, dashboard, client, metrics, ha_metrics, ha_stats = free_ports(6)
    base = Path(tempfile.gettempdir()) / f"ossa-ray-{os.getuid()}"
    own_folder(base)
    # Socket paths below it may have 107 bytes at most.
    temp_dir = base / f"c{gcs}"
    own_folder(temp_dir)
    set_environment(gateway, temp_dir, ha_metrics, ha_stats)
    address = f"127.0.0.1:{gcs}"
    document = plan.for_ray(
        run_folder=str(folder.path), address=address, temp_dir=str(temp_dir), head_node_type=plan.head_node_type
    )
    folder.plan_file.write_text(yaml.safe_dump(document))
    command = [
        *(*RAY_START, "--head", f"--port={gcs}", f"--temp-dir={temp_dir / HEAD_ID}"),
        *("--num-cpus=0", f"--object-store-memory={HEAD_STORE_BYTES}", *OWN_PORTS),
        *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
        *(f"--ray-client-server-port={client}", f"--autoscaling-config={folder.plan_file}"),
    ]
    log = folder.logs / "head.log"
    environment = head_environment(os.environ, plan, run_id=run_id, metrics_port=metrics)
    process, record = start_session(command, log, environment)
    run = ClusterRun(
        run=run_id,
        head=record,
        address=address,
        dashboard_url=f"http://127.0.0.1:{dashboard}",
        temp_dir=str(temp_dir),
    )
    folder.write_run(run)
    _wait_until_up(process, log)
    return run


def head_environment(base: Mapping[str, str], plan: ClusterPlan, *, run_id: str, metrics_port: int) -> dict[str, str]:
    """Returns the environment: autoscaler v2, its pace, and the mark of this run's processes. Nodes inherit it."""
    kept = {name: value for name, value in base.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        "AUTOSCALER_UPDATE_INTERVAL_S": UPDATE_S,
        "RAY_health_check_period_ms": HEALTH_CHECK_MS,
        # No process in advance a logical CPU: the machine has fewer CPUs than its nodes claim.
        "RAY_enable_worker_prestart": "false",
        "RAY_prestart_worker_first_driver": "false",
        **kept,
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_NODE_TYPE_NAME": plan.head_node_type,
        # One call a node: the provider limits how many start at the same time.
        "AUTOSCALER_MAX_LAUNCH_BATCH": "1",
        "AUTOSCALER_MAX_CONCURRENT_LAUNCHES": str(plan.max_workers),
        "AUTOSCALER_METRIC_PORT": str(metrics_port),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        MARK: run_id,
    }


def end_head(run: ClusterRun) -> None:
    end_session(run.head.pid, run.head.started)
    shutil.rmtree(Path(run.temp_dir) / HEAD_ID, ignore_errors=True)


def _wait_until_up(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        if READY_MARK in text:
            return
        if process.poll() is not None:
            tail = "\n".join(text.splitlines()[-15:])
            raise NotReady(f"the head did not start; see {log}:\n{tail}")
        time.sleep(0.1)
    raise NotReady(f"the head was not up within {START_TIMEOUT_S:g} s; see {log}")
