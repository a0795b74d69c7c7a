"""Raylets as nodes, and the head: each `ray start` leads a session with its own ports, sockets and files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import yaml

from ossa.app.local_ray import READY_MARK, end_session, free_ports, own_folder, set_environment
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import NotReady
from ossa.nodes.plan import ClusterPlan
from ossa.nodes.run_folder import HEAD_ID, MARK, ClusterRun, NodeRecord, RunFolder, start_session

RAY_START = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats")

OWN_PORTS = (
    *("--node-manager-port=0", "--object-manager-port=0", "--metrics-export-port=0"),
    *("--dashboard-agent-listen-port=0", "--dashboard-agent-grpc-port=0", "--runtime-env-agent-port=0"),
    *("--min-worker-port=0", "--max-worker-port=0"),
)
"""0: the kernel picks a free port, so that nodes of this machine never collide."""

LOST_HEAD_S = 20
"""Seconds after which a node ends itself when its head no longer answers."""

START_TIMEOUT_S = 90.0
RESOURCE_OPTIONS = {"CPU": "--num-cpus", "GPU": "--num-gpus", "memory": "--memory"}


class NodeStarter(Protocol):
    """Starts and ends nodes. Calls come from several threads."""

    def start(
        self, node_id: str, *, resources: Mapping[str, float], labels: Mapping[str, str], tags: Mapping[str, str]
    ) -> NodeRecord:
        """Starts a node; returns before it is up. Raises `OSError` if it cannot."""

    def wait(self, record: NodeRecord) -> None:
        """Returns when the node is up or has failed."""

    def alive(self, record: NodeRecord) -> bool: ...

    def end(self, records: Sequence[NodeRecord]) -> None:
        """Ends every process of these nodes, and removes their files."""


class RayletStarter:
    """Starts and ends nodes of the Ray cluster at `address`.

    Args:
        temp_dir: holds each node's Ray folder. Keep it short: sockets lie below it.
        logs: holds the output of `ray start`, a file a node.
    """

    def __init__(self, address: str, *, temp_dir: Path, logs: Path, node_type_tag: str) -> None:
        self._address = address
        self._temp_dir = temp_dir
        self._logs = logs
        self._node_type_tag = node_type_tag
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(
        self, node_id: str, *, resources: Mapping[str, float], labels: Mapping[str, str], tags: Mapping[str, str]
    ) -> NodeRecord:
        folder = self._temp_dir / node_id
        command = node_command(self._address, folder, resources, labels)
        environment = node_environment(os.environ, node_id, tags[self._node_type_tag])
        process, record = start_session(command, self._log(node_id), environment)
        self._children[process.pid] = process
        return NodeRecord(node_id=node_id, process=record, tags=dict(tags), temp_dir=str(folder))

    def wait(self, record: NodeRecord) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        log = self._log(record.node_id)
        while time.monotonic() < deadline and self.alive(record):
            if READY_MARK in log.read_text(errors="replace"):
                return
            time.sleep(0.1)

    def alive(self, record: NodeRecord) -> bool:
        child = self._children.get(record.process.pid)
        return record.process.alive() and (child is None or child.poll() is None)

    def end(self, records: Sequence[NodeRecord]) -> None:
        end_nodes(records)
        for record in records:
            child = self._children.pop(record.process.pid, None)
            if child is not None:
                child.wait()

    def _log(self, node_id: str) -> Path:
        return self._logs / f"{node_id}.log"


def node_command(
    address: str, temp_dir: Path, resources: Mapping[str, float], labels: Mapping[str, str]
) -> tuple[str, ...]:
    """Returns the `ray start` command of one worker node."""
    options = [f"{option}={int(resources[name])}" for name, option in RESOURCE_OPTIONS.items() if name in resources]
    if "object_store_memory" in resources:
        options.append(f"--object-store-memory={int(resources['object_store_memory'])}")
    others = {name: size for name, size in resources.items() if name not in (*RESOURCE_OPTIONS, "object_store_memory")}
    return (
        *RAY_START,
        f"--address={address}",
        f"--temp-dir={temp_dir}",
        *OWN_PORTS,
        "--include-log-monitor=false",
        *options,
        f"--resources={json.dumps(others)}",
        *([f"--labels={','.join(f'{name}={value}' for name, value in labels.items())}"] if labels else []),
    )


def node_environment(base: Mapping[str, str], node_id: str, node_type: str) -> dict[str, str]:
    """Returns the environment by which the autoscaler recognises the raylet."""
    kept = {name: value for name, value in base.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **kept,
        "RAY_CLOUD_INSTANCE_ID": node_id,
        "RAY_NODE_TYPE_NAME": node_type,
        "RAY_gcs_rpc_server_reconnect_timeout_s": str(LOST_HEAD_S),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    }


def end_nodes(records: Sequence[NodeRecord]) -> None:
    """Ends nodes in parallel, because each takes seconds. A session is ended even if its leader is gone."""
    if not records:
        return
    with ThreadPoolExecutor(max_workers=len(records), thread_name_prefix="ending") as threads:
        list(threads.map(_end, records))


def _end(record: NodeRecord) -> None:
    end_session(record.process.pid, record.process.started)
    shutil.rmtree(record.temp_dir, ignore_errors=True)


HEAD_START_TIMEOUT_S = 120.0
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
    deadline = time.monotonic() + HEAD_START_TIMEOUT_S
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        if READY_MARK in text:
            return
        if process.poll() is not None:
            tail = "\n".join(text.splitlines()[-15:])
            raise NotReady(f"the head did not start; see {log}:\n{tail}")
        time.sleep(0.1)
    raise NotReady(f"the head was not up within {HEAD_START_TIMEOUT_S:g} s; see {log}")
