"""One server process: known by pid and start time, so that a pid that went to another program is left alone.

Linux only: `/proc` and pid file descriptors.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ossa.embedded.postgres_programs import Account
from ossa.embedded.process import Launch
from ossa.embedded.process import spawn as launched
from scripts.services.failure import ServiceFailed

_KILL_WAIT_S = 10.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 21 - 2  # `starttime`, counted after "pid (name)"; see proc(5)


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """What is written down about a started process. `started` is the boot and the clock ticks since it."""

    pid: int
    started: str
    command: tuple[str, ...]
    ports: dict[str, int]

    @property
    def alive(self) -> bool:
        return identity(self.pid) == self.started

    def stop(self, sent: signal.Signals, grace_s: float) -> bool:
        """Returns when it is gone; SIGKILL after `grace_s`. True when it went by itself. Raises `ServiceFailed`."""
        with self._handle() as handle:
            if handle is None or self._gone(handle, sent, grace_s):
                return True
            if self._gone(handle, signal.SIGKILL, _KILL_WAIT_S):
                return False
        raise ServiceFailed(f"Process {self.pid} ({self.command[0]}) does not end.")

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. Raises `ServiceFailed`."""
        self.stop(signal.SIGKILL, _KILL_WAIT_S)

    def write(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)) + "\n")
        partial.rename(path)

    @classmethod
    def read(cls, path: Path) -> ProcessRecord | None:
        """None when there is none."""
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(found["pid"], found["started"], tuple(found["command"]), found["ports"])

    @contextlib.contextmanager
    def _handle(self) -> Iterator[int | None]:
        """A descriptor of this very process: a signal through it cannot reach a later one of the same pid."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            yield handle if self.alive else None
        finally:
            os.close(handle)

    def _gone(self, handle: int, sent: signal.Signals, wait_s: float) -> bool:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, sent)
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        if not ended.poll(wait_s * 1000):
            return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)  # when it is our child
        return True


def identity(pid: int) -> str | None:
    """Of a living process: what no other process of that pid will have. None for a zombie or none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else f"{_BOOT.read_text().strip()}:{fields[_START_FIELD]}"


def record_of(pid: int, command: Sequence[str], ports: Mapping[str, int]) -> ProcessRecord:
    """Of a process that another one started. A dead one gives a record that is not alive."""
    return ProcessRecord(pid, identity(pid) or "gone", tuple(command), dict(ports))


def spawn(
    command: Sequence[str], *, account: Account, environment: Mapping[str, str], ports: Mapping[str, int], log: Path
) -> ProcessRecord:
    """Start it in a session of its own, so that Ctrl-C in our terminal is not for it. Raises `ServiceFailed`."""
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", **environment}
    try:
        process = launched(Launch(command, env=env, options=account.popen_options()), log)
    except OSError as error:
        raise ServiceFailed(f"{command[0]} cannot be run: {error}") from error
    return record_of(process.pid, command, ports)
