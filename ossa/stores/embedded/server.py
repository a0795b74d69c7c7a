"""Start, adopt and stop a PostgreSQL of our own.

The server outlives the process that started it, until somebody stops it.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import psycopg

from ossa.contracts.errors import Conflict, StoreUnavailable
from ossa.stores.embedded.account import Account, choose_account
from ossa.stores.embedded.archiving import archive_command
from ossa.stores.embedded.binaries import Binaries, find_binaries
from ossa.stores.embedded.layout import Layout
from ossa.stores.embedded.postmaster import Postmaster, clear_foreign_pid_file, find_postmaster

logger = logging.getLogger(__name__)

USER = "ossa"
DATABASE = "ossa"

_START_S = 120.0
_POLL_S = 0.01
_PAUSE_S = 0.2
_LOG_MAX_BYTES = 10 * 2**20

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # For backups: a base is copied, and its WAL with it, while others write.
    "wal_level": "replica",
    "max_wal_senders": "4",
    "archive_mode": "on",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "15s",
    "autovacuum_max_workers": "2",
    # Two cores are shared with everything else.
    "max_parallel_workers_per_gather": "0",
    "max_worker_processes": "2",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # A statement in the log could carry what a user wrote.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


class EmbeddedPostgres:
    """One PostgreSQL in `data_dir`, on 127.0.0.1 with a password of its own.

    Several processes may start the same one: the first does, the others adopt it.

    Args:
        start_s: how long a start may take; one that recovers from a backup takes longer.
    """

    def __init__(self, data_dir: Path, *, start_s: float = _START_S) -> None:
        self._layout = Layout(data_dir.expanduser().absolute())
        self._start_s = start_s

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self._layout.data_dir)!r})"

    @property
    def running(self) -> bool:
        """Whether it accepts connections."""
        found = find_postmaster(self._layout.cluster)
        return found is not None and found.ready

    @property
    def pid(self) -> int | None:
        """Of the postmaster."""
        found = find_postmaster(self._layout.cluster)
        return found.pid if found else None

    def start(self) -> str:
        """The DSN of a server that accepts connections. Recovers from a crash; does nothing when it runs.

        Raises `StoreUnavailable` saying what to install or to change.
        """
        self._layout.create()
        with self._layout.locked():
            postmaster = find_postmaster(self._layout.cluster)
            if postmaster is None:
                postmaster = self._launch()
            elif not postmaster.ready:
                postmaster = self._wait_ready(None)
            self._layout.remember_port(postmaster.port)
            dsn = self._dsn(postmaster.port, DATABASE)
            self._ensure_database(postmaster.port)
            return dsn

    def stop(self) -> None:
        """Returns when it is gone; does nothing when it does not run. Raises `StoreUnavailable`."""
        if not self._layout.data_dir.exists():
            return
        with self._layout.locked():
            postmaster = find_postmaster(self._layout.cluster)
            if postmaster is not None:
                postmaster.stop()
                logger.info("embedded_postgres_stopped", extra={"pid": postmaster.pid})

    def keep_wal(self) -> Path:
        """From now on finished WAL is copied to this folder, of which somebody has to take it away again.

        Raises `StoreUnavailable` where there is no cluster yet.
        """
        if not self._layout.exists:
            raise StoreUnavailable(f"There is no PostgreSQL in {self._layout.data_dir} yet: start the fleet first.")
        if not self._layout.kept_wal.exists():
            account = choose_account(self._layout.cluster)
            fresh = self._layout.kept_wal.with_name("wal.new")
            fresh.mkdir(mode=0o700, exist_ok=True)
            account.give(fresh)
            fresh.rename(self._layout.kept_wal)
        return self._layout.kept_wal

    def drop_wal(self) -> None:
        """The opposite of `keep_wal`; what is still there goes."""
        shutil.rmtree(self._layout.kept_wal, ignore_errors=True)

    def install(
        self, fill: Callable[[Path], None], *, password: str, replacing: Callable[[], None] = lambda: None
    ) -> None:
        """A cluster that was made elsewhere, in the place of the one there is.

        `fill` gets an empty folder on the cluster's disk; when it raises, all is as it was, and so it is until
        `replacing` is called. The server must not run: raises `Conflict`.
        """
        self._layout.create()
        with self._layout.locked():
            if find_postmaster(self._layout.cluster) is not None:
                raise Conflict(f"The PostgreSQL in {self._layout.data_dir} runs: stop the fleet first (`ossa down`).")
            account = choose_account(self._layout.cluster)
            self._layout.settle(account)
            fresh = self._layout.root / "cluster.new"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            try:
                fill(fresh)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            for path in (fresh, *fresh.rglob("*")):
                account.give(path)
            replacing()
            shutil.rmtree(self._layout.cluster, ignore_errors=True)
            self.drop_wal()
            self._layout.password_file.unlink(missing_ok=True)
            self._layout.password(password)
            fresh.rename(self._layout.cluster)

    def erase(self) -> None:
        """Stop, and delete all data, also what was kept outside `data_dir`."""
        self.stop()
        self._layout.erase()

    def _launch(self) -> Postmaster:
        account = choose_account(self._layout.cluster)
        binaries = find_binaries()
        self._layout.settle(account)
        if not binaries.runnable_by(account):
            binaries = binaries.copied_to(self._layout.private_folder())
            if not binaries.runnable_by(account):
                raise StoreUnavailable(
                    f"The embedded PostgreSQL cannot be run as user {account.uid} from {binaries.root}; is it mounted "
                    "noexec? Set OSSA_DATABASE__DSN to a PostgreSQL of your own."
                )
        if not self._layout.exists:
            self._initialise(account, binaries)
        clear_foreign_pid_file(self._layout.cluster)
        deadline = monotonic() + self._start_s
        while True:
            port = self._choose_port()
            process = self._spawn(account, binaries, port)
            try:
                postmaster = self._wait_ready(process)
            except StoreUnavailable:
                # Backends of a killed server may hold its memory a moment longer; the port may have been taken.
                if monotonic() > deadline or not self._may_succeed_later():
                    raise
                sleep(_PAUSE_S)
            else:
                logger.info("embedded_postgres_started", extra={"pid": postmaster.pid, "port": port})
                return postmaster

    def _initialise(self, account: Account, binaries: Binaries) -> None:
        """Made aside and renamed, so that a cluster is whole or absent."""
        fresh = self._layout.root / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        account.give(fresh)
        secret = fresh.with_name("cluster.pw")
        secret.unlink(missing_ok=True)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._layout.password())
        account.give(secret)
        try:
            done = account.run(
                [
                    binaries.initdb,
                    "--pgdata",
                    fresh,
                    "--username",
                    USER,
                    "--pwfile",
                    secret,
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-instructions",
                ],
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            )
        finally:
            secret.unlink(missing_ok=True)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise StoreUnavailable(f"The embedded PostgreSQL could not be set up: {' '.join(said[-2:])}")
        fresh.rename(self._layout.cluster)

    def _spawn(self, account: Account, binaries: Binaries, port: int) -> subprocess.Popen[bytes]:
        chosen = {**_SETTINGS, "port": str(port), "archive_command": archive_command(self._layout.kept_wal)}
        settings = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        if self._layout.log.exists() and self._layout.log.stat().st_size > _LOG_MAX_BYTES:
            self._layout.log.rename(self._layout.log.with_suffix(".log.1"))
        with self._layout.log.open("ab") as log:
            # A session of its own: Ctrl-C in our terminal is not for the server.
            return subprocess.Popen(
                [str(binaries.postgres), "-D", str(self._layout.cluster), *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
                **account.popen_options(),
            )

    def _wait_ready(self, process: subprocess.Popen[bytes] | None) -> Postmaster:
        deadline = monotonic() + self._start_s
        while monotonic() < deadline:
            found = find_postmaster(self._layout.cluster)
            if found is not None and found.ready and (process is None or found.pid == process.pid):
                return found
            if process is not None and process.poll() is not None:
                raise StoreUnavailable(f"The embedded PostgreSQL did not start: {self._last_words()}")
            sleep(_POLL_S)
        if process is not None:
            process.kill()
            process.wait()
        raise StoreUnavailable(
            f"The embedded PostgreSQL did not start in {self._start_s:.0f} s; see {self._layout.log}."
        )

    def _choose_port(self) -> int:
        """The last one if it is free."""
        wanted = self._layout.last_port() or 0
        for port in (wanted, 0):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return int(probe.getsockname()[1])
        raise StoreUnavailable("There is no free port on 127.0.0.1.")

    def _ensure_database(self, port: int) -> None:
        try:
            with psycopg.connect(self._dsn(port, "postgres"), autocommit=True, connect_timeout=10) as conn:
                known = conn.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
                if known is None:
                    conn.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise StoreUnavailable(
                f"The embedded PostgreSQL in {self._layout.data_dir} runs but refuses us: {str(error).splitlines()[0]}"
            ) from error

    def _dsn(self, port: int, database: str) -> str:
        return f"postgresql://{USER}:{self._layout.password()}@127.0.0.1:{port}/{database}"

    def _may_succeed_later(self) -> bool:
        said = self._last_words()
        return "shared memory block" in said or "could not bind" in said or "could not create any TCP" in said

    def _last_words(self) -> str:
        try:
            with self._layout.log.open("rb") as log:
                log.seek(max(0, self._layout.log.stat().st_size - 2000))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return "it said nothing"
        return " ".join(lines[-4:]) or "it said nothing"
