"""Records of what runs: a file for the head and one a node, each with its process's id and start time.

A process counts as ours only if both match, or if it carries the run's mark in its environment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

from ossa.contracts.value import Value

T = TypeVar("T", bound=Value)

MARK = "OSSA_CLUSTER_RUN"
"""Environment variable that marks every process of a run."""

HEAD_ID = "head"
"""The head's id for the autoscaler, and `RAY_CLOUD_INSTANCE_ID` of its process."""

CLOCK_S = 1.0
"""Start times that differ by less count as the same."""


class ProcessRecord(Value):
    """The leader of a session. `started` is in seconds since 1970, by the kernel."""

    pid: int
    started: float

    def alive(self) -> bool:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) <= CLOCK_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        return False


class ClusterRun(Value):
    """The head. `run` is the value of `MARK` in each process; `temp_dir` holds Ray's files."""

    run: str
    head: ProcessRecord
    address: str
    dashboard_url: str
    temp_dir: str


class NodeRecord(Value):
    """A worker node: the leader of its processes, and the tags that the autoscaler gave it."""

    node_id: str
    process: ProcessRecord
    tags: dict[str, str]
    temp_dir: str


class RunFolder:
    """`<home>/cluster`: `run.json`, `autoscaling.yaml`, `nodes/*.json`, `logs/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan_file = path / "autoscaling.yaml"
        self.logs = path / "logs"
        self._run_file = path / "run.json"
        self._nodes = path / "nodes"

    def make(self) -> None:
        for folder in (self.path, self._nodes, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write_run(self, run: ClusterRun) -> None:
        _write(self._run_file, run)

    def run(self) -> ClusterRun | None:
        """Returns the recorded run; None if there is none or it cannot be read."""
        return _read(ClusterRun, self._run_file)

    def write_node(self, record: NodeRecord) -> None:
        _write(self._nodes / f"{record.node_id}.json", record)

    def remove_node(self, node_id: str) -> None:
        (self._nodes / f"{node_id}.json").unlink(missing_ok=True)

    def nodes(self) -> list[NodeRecord]:
        records = (_read(NodeRecord, file) for file in sorted(self._nodes.glob("*.json")))
        return [record for record in records if record is not None]

    def clear(self) -> None:
        """Removes the records of the run and its nodes, after they have ended. The logs stay."""
        for record in self.nodes():
            self.remove_node(record.node_id)
        run = self.run()
        if run is not None:
            shutil.rmtree(run.temp_dir, ignore_errors=True)
        self._run_file.unlink(missing_ok=True)
        self.plan_file.unlink(missing_ok=True)


def start_session(
    command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], ProcessRecord]:
    """Starts a program as the leader of a session of its own, with its output in `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=environment
        )
    return process, ProcessRecord(pid=process.pid, started=psutil.Process(process.pid).create_time())


def marked(run: str) -> Iterator[psutil.Process]:
    """Yields this user's processes with the run's mark. Ray's workers overwrite it; their raylet keeps it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == os.getuid() and process.environ().get(MARK) == run:
                yield process


def _write(file: Path, value: Value) -> None:
    """Writes atomically, readable by the owner alone."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(value.model_dump_json(indent=1) + "\n")
    draft.replace(file)


def _read(kind: type[T], file: Path) -> T | None:
    try:
        return kind.model_validate_json(file.read_bytes())
    except (OSError, ValueError):
        return None
