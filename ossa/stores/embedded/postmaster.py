"""The server process, as its pid file tells."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import psutil

from ossa.contracts.errors import StoreUnavailable
from ossa.stores.embedded.living import lives, works_in

_POLL_S = 0.01
_FAST_S = 30.0
_IMMEDIATE_S = 10.0


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A living postmaster of one cluster."""

    pid: int
    port: int
    ready: bool

    def stop(self) -> None:
        """Fast shutdown: open transactions roll back, data is flushed. Raises `StoreUnavailable`."""
        for sent, limit_s in ((signal.SIGINT, _FAST_S), (signal.SIGQUIT, _IMMEDIATE_S)):
            try:
                os.kill(self.pid, sent)
            except ProcessLookupError:
                return
            if self._gone_within(limit_s):
                return
        raise StoreUnavailable(f"The embedded PostgreSQL (pid {self.pid}) does not stop.")

    def _gone_within(self, limit_s: float) -> bool:
        deadline = monotonic() + limit_s
        while monotonic() < deadline:
            if not lives(self.pid):
                return True
            sleep(_POLL_S)
        return False


def find_postmaster(cluster: Path) -> Postmaster | None:
    """None when there is no pid file, it is stale, or its pid went to another program."""
    lines = _pid_file(cluster)
    if len(lines) < 4 or not lines[0].isdigit() or not lines[3].isdigit():
        return None
    pid = int(lines[0])
    if not lives(pid) or not _serves(pid, cluster):
        return None
    return Postmaster(pid=pid, port=int(lines[3]), ready=len(lines) > 7 and lines[7] == "ready")


def clear_foreign_pid_file(cluster: Path) -> None:
    """Remove a pid file whose pid belongs to another program now.

    PostgreSQL clears other stale ones itself, and checks by them that no process
    of the dead server still uses its memory; so this waits until none does.
    """
    lines = _pid_file(cluster)
    if not lines or not lines[0].isdigit() or not lives(int(lines[0])) or _serves(int(lines[0]), cluster):
        return
    if not any(_serves(process.pid, cluster) for process in psutil.process_iter()):
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def _pid_file(cluster: Path) -> list[str]:
    try:
        return [line.strip() for line in (cluster / "postmaster.pid").read_text().splitlines()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _serves(pid: int, cluster: Path) -> bool:
    """Every process of a server works in its cluster's folder."""
    return works_in(pid, "postgres", cluster)
