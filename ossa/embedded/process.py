"""A server process on 127.0.0.1 that the first caller starts, others adopt and anybody may stop.

It runs in a session of its own and outlives the process that started it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, ClassVar

import psutil

from ossa.contracts.errors import OssaError, StoreUnavailable

logger = logging.getLogger(__name__)

PLAIN_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_POLL_S = 0.01
_PAUSE_S = 0.2
_PORT_WAIT_S = 2.0
_LOG_MAX_BYTES = 10 * 2**20
_TAIL_BYTES = 4000
_TAIL_LINES = 4


@dataclass(frozen=True, slots=True)
class Server:
    """A living server process."""

    pid: int
    port: int


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server process is launched. `options` go to `subprocess.Popen`."""

    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=lambda: PLAIN_ENVIRONMENT)
    cwd: Path = Path("/")
    stdin: bytes = b""
    options: Mapping[str, Any] = field(default_factory=dict)


class EmbeddedProcess(ABC):
    """Starts, adopts and stops one server; a subclass says how to find, launch and probe it.

    Args:
        log: takes the output of the server.
        lock: held while the server is started or stopped, so that one process at a time does so.
        start_s: how long a start may take.
    """

    title: ClassVar[str]
    """Stands in messages and, in lower case, in the names of log events."""
    failure: ClassVar[type[OssaError]] = StoreUnavailable
    stop_signals: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))
    lock_wait_s: ClassVar[float] = 120.0

    def __init__(self, *, log: Path, lock: Path, start_s: float) -> None:
        self.log = log
        self._lock = lock
        self._start_s = start_s

    @abstractmethod
    def find(self) -> Server | None:
        """Returns the living server; None when there is none, or when its pid belongs to another program now."""

    @abstractmethod
    def is_ready(self, server: Server) -> bool:
        """Whether this server serves us."""

    @abstractmethod
    def last_port(self) -> int | None:
        """The port of the last start, which is taken again if it is free: addresses outlive a restart."""

    @abstractmethod
    def launch(self, port: int) -> Launch: ...

    def remember(self, server: Server) -> None:  # noqa: B027
        """Called with a server that was started and is ready."""

    def forget(self) -> None:  # noqa: B027
        """Called when the server has been stopped, while the lock is held."""

    def fits(self, server: Server) -> bool:
        """Whether a living server can be adopted. One that cannot be is replaced."""
        return True

    def may_retry(self, attempt: int, last_words: str) -> bool:
        """Whether a server that ended by itself is launched again. `attempt` counts from 1."""
        return attempt < 3

    @property
    def pid(self) -> int | None:
        server = self.find()
        return server.pid if server is not None else None

    @property
    def running(self) -> bool:
        """Whether the server is ready."""
        server = self.find()
        return server is not None and self.is_ready(server)

    def stop(self) -> None:
        """Stops the server, whoever started it. Returns when it has ended; does nothing when none runs."""
        if not self._lock.parent.exists():
            return
        with self.locked():
            server = self.find()
            if server is not None:
                self.end(server)
            self.forget()

    def end(self, server: Server) -> None:
        """Raises `failure` when the process does not end."""
        end_process(server.pid, self.stop_signals, self.title, self.failure)
        logger.info(f"embedded_{self.title.lower()}_stopped", extra={"pid": server.pid})

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Raises `failure` when another process holds the lock for too long."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(file_lock(self._lock, wait_s=self.lock_wait_s))
            except TimeoutError:
                raise self.failure(
                    f"Another process has been starting {self.title} in {self._lock.parent} for too long."
                ) from None
            yield

    def ensure_started(self) -> Server:
        """Adopts or launches the server and waits until it is ready. The caller holds the lock.

        Raises `failure` with the end of the server's log.
        """
        server = self.find()
        if server is not None and not self.fits(server):
            self.end(server)
            server = None
        if server is None:
            return self._launch()
        if not self._becomes_ready(server, None):
            raise self.failure(f"The embedded {self.title} (pid {server.pid}) does not answer us; see {self.log}.")
        return server

    def log_tail(self) -> str:
        return tail(self.log, lines=_TAIL_LINES, between=" ") or "it said nothing"

    def _launch(self) -> Server:
        deadline = monotonic() + self._start_s
        attempt = 0
        while True:
            attempt += 1
            port = self._free_port()
            try:
                child = spawn(self.launch(port), self.log)
            except OSError as error:
                raise self.failure(f"The embedded {self.title} cannot run: {error}; is it mounted noexec?") from error
            server = Server(child.pid, port)
            try:
                ready = self._becomes_ready(server, child)
            except BaseException:
                kill(child)
                raise
            if ready:
                self.remember(server)
                logger.info(f"embedded_{self.title.lower()}_started", extra={"pid": server.pid, "port": port})
                return server
            if child.poll() is None:
                kill(child)
                raise self.failure(f"The embedded {self.title} did not start in {self._start_s:.0f} s; see {self.log}.")
            last_words = self.log_tail()
            if monotonic() > deadline or not self.may_retry(attempt, last_words):
                raise self.failure(f"The embedded {self.title} did not start; {self.log} ends with: {last_words}")
            sleep(_PAUSE_S)

    def _becomes_ready(self, server: Server, child: subprocess.Popen[bytes] | None) -> bool:
        """False when it ends, or is not ready within `start_s`."""
        deadline = monotonic() + self._start_s
        while monotonic() < deadline:
            if (child.poll() is not None) if child is not None else not lives(server.pid):
                return False
            if self.is_ready(server):
                return True
            sleep(_POLL_S)
        return False

    def _free_port(self) -> int:
        """The last port if it gets free soon: a killed server may hold it for a moment after its end."""
        deadline = monotonic() + _PORT_WAIT_S
        while last := self.last_port():
            if bindable(last):
                return last
            if monotonic() > deadline:
                break
            sleep(_POLL_S)
        if port := bindable(0):
            return port
        raise self.failure("There is no free port on 127.0.0.1.")


@contextlib.contextmanager
def file_lock(file: Path, *, wait_s: float) -> Iterator[None]:
    """Holds the lock of `file`, which is made if need be. Raises `TimeoutError`."""
    deadline = monotonic() + wait_s
    with file.open("a") as opened:
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() >= deadline:
                    raise TimeoutError(f"{file} is locked") from None
                sleep(_POLL_S)
        yield


def spawn(launch: Launch, log: Path) -> subprocess.Popen[bytes]:
    """Starts a process whose output goes to `log`, which is rotated when it is large.

    The process gets a session of its own: Ctrl-C in our terminal is not for it. Raises `OSError`.
    """
    if log.exists() and log.stat().st_size > _LOG_MAX_BYTES:
        log.rename(log.with_suffix(f"{log.suffix}.1"))
    with log.open("ab") as output:
        child = subprocess.Popen(
            launch.command,
            stdin=subprocess.PIPE if launch.stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=launch.cwd,
            env=launch.env,
            start_new_session=True,
            **launch.options,
        )
    if child.stdin is not None:
        with contextlib.suppress(BrokenPipeError), child.stdin:  # it ended already; its log says why
            child.stdin.write(launch.stdin)
    return child


def kill(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()


def end_process(
    pid: int, signals: Sequence[tuple[signal.Signals, float]], title: str, failure: type[OssaError] = StoreUnavailable
) -> None:
    """Sends each signal in turn until the process has ended, and waits so many seconds after each. Raises `failure`."""
    for sent, wait_s in signals:
        try:
            os.kill(pid, sent)
        except ProcessLookupError:
            return
        deadline = monotonic() + wait_s
        while monotonic() < deadline:
            if not lives(pid):
                return
            sleep(_POLL_S)
    raise failure(f"The embedded {title} (pid {pid}) does not stop.")


def lives(pid: int) -> bool:
    """Whether the process exists. A zombie does not live; a process that may not be looked at does."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def works_in(pid: int, program: str, folder: Path) -> bool:
    """Whether the process is that program and the folder is its working directory."""
    try:
        process = psutil.Process(pid)
        return process.name().startswith(program) and Path(process.cwd()) == folder.resolve()
    except psutil.Error:
        return False


def bindable(port: int) -> int | None:
    """Returns the port (for 0, a free one) if a server can listen there on 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def made_once(file: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
    """Returns the secret in `file`, which is made at the first call and readable by its owner alone."""
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(make())
    return file.read_text().strip()


def number_in(file: Path) -> int | None:
    """Returns the number a file holds; None for no file and for other content."""
    try:
        return int(file.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def tail(log: Path, *, lines: int, between: str) -> str:
    """Returns the last lines of a log; nothing for a log that is not there."""
    try:
        with log.open("rb") as opened:
            opened.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            said = opened.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    return between.join(said[-lines:])
