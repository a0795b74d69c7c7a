"""Raylets as nodes: each `ray start` leads a process session of its own and has its own ports, sockets and files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from ossa.app.local_ray import READY_MARK, end_session
from ossa.nodes.run_folder import NodeRecord, start_session

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
