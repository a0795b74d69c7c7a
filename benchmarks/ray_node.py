"""More Ray nodes on this machine, each in a process session of its own, to be killed as a node dies: all at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil


class RayNode:
    """`start`; `kill` ends every process of the node with SIGKILL."""

    def __init__(self, address: str, *, cpus: int, log: Path) -> None:
        self._address = address
        self._cpus = cpus
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={self._address}", "--block"),
            *(f"--num-cpus={self._cpus}", "--disable-usage-stats", "--object-store-memory=100000000"),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        if self._process is None:
            return
        # The leader last: while it lives (or is our unreaped child), its number names this session.
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if process.pid != self._process.pid and os.getsid(process.pid) == self._process.pid:
                    os.kill(process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._process = None
