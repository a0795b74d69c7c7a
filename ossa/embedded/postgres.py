"""A PostgreSQL of our own, from a wheel."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from ossa.contracts.errors import Conflict, StoreUnavailable
from ossa.embedded.postgres_layout import Layout
from ossa.embedded.postgres_programs import Account, Binaries, choose_account, find_binaries
from ossa.embedded.process import (
    PLAIN_ENVIRONMENT,
    EmbeddedProcess,
    Launch,
    Server,
    end_process,
    lives,
    made_once,
    works_in,
)

USER = "ossa"
DATABASE = "ossa"

_START_S = 120.0
_STOP_SIGNALS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))
"""Fast shutdown: open transactions roll back, data is flushed; then immediate shutdown."""

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


@dataclass(frozen=True, slots=True)
class Postmaster(Server):
    """A living postmaster of one cluster. `ready`: it accepts connections."""

    ready: bool

    def stop(self) -> None:
        """Returns when it has ended. Raises `StoreUnavailable`."""
        end_process(self.pid, _STOP_SIGNALS, "PostgreSQL")


class EmbeddedPostgres(EmbeddedProcess):
    """One PostgreSQL in `data_dir`, on 127.0.0.1 with a password of its own.

    Several processes may start the same one: the first does, the others adopt it.

    Args:
        start_s: how long a start may take; one that recovers from a backup takes longer.
    """

    title = "PostgreSQL"
    stop_signals = _STOP_SIGNALS

    def __init__(self, data_dir: Path, *, start_s: float = _START_S) -> None:
        self.layout = Layout(data_dir.expanduser().absolute())
        super().__init__(log=self.layout.log, lock=self.layout.lock, start_s=start_s)

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self.layout.data_dir)!r})"

    def start(self) -> str:
        """Returns the DSN of a server that accepts connections. Recovers from a crash; does nothing when it runs.

        Raises `StoreUnavailable` saying what to install or to change.
        """
        self.layout.create()
        with self.locked():
            server = self.ensure_started()
            self.remember(server)
            self._ensure_database(server.port)
            return self._dsn(server.port, DATABASE)

    def keep_wal(self) -> Path:
        """From now on finished WAL is copied to this folder; the caller has to remove what it has archived.

        Raises `StoreUnavailable` where there is no cluster yet.
        """
        if not self.layout.exists:
            raise StoreUnavailable(f"There is no PostgreSQL in {self.layout.data_dir} yet: start the fleet first.")
        if not self.layout.kept_wal.exists():
            account = choose_account(self.layout.cluster)
            fresh = self.layout.kept_wal.with_name("wal.new")
            fresh.mkdir(mode=0o700, exist_ok=True)
            account.give(fresh)
            fresh.rename(self.layout.kept_wal)
        return self.layout.kept_wal

    def drop_wal(self) -> None:
        """Ends `keep_wal` and deletes what is still in its folder."""
        shutil.rmtree(self.layout.kept_wal, ignore_errors=True)

    def install(
        self, fill: Callable[[Path], None], *, password: str, replacing: Callable[[], None] = lambda: None
    ) -> None:
        """Replaces the cluster with one that was made elsewhere.

        `fill` gets an empty folder on the cluster's disk. When it raises, nothing has changed; nothing changes before
        `replacing` is called. Raises `Conflict` while the server runs.
        """
        self.layout.create()
        with self.locked():
            if self.find() is not None:
                raise Conflict(f"The PostgreSQL in {self.layout.data_dir} runs: stop the fleet first (`ossa down`).")
            account = choose_account(self.layout.cluster)
            self.layout.settle(account)
            fresh = self._empty_cluster()
            try:
                fill(fresh)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            for path in (fresh, *fresh.rglob("*")):
                account.give(path)
            replacing()
            shutil.rmtree(self.layout.cluster, ignore_errors=True)
            self.drop_wal()
            self.layout.password_file.unlink(missing_ok=True)
            self.layout.password(password)
            fresh.rename(self.layout.cluster)

    def erase(self) -> None:
        """Stops the server and deletes all data, also what was kept outside `data_dir`."""
        self.stop()
        self.layout.erase()

    def find(self) -> Postmaster | None:
        return find_postmaster(self.layout.cluster)

    def is_ready(self, server: Server) -> bool:
        postmaster = self.find()
        return postmaster is not None and postmaster.ready and postmaster.pid == server.pid

    def last_port(self) -> int | None:
        return self.layout.last_port()

    def remember(self, server: Server) -> None:
        self.layout.remember_port(server.port)

    def launch(self, port: int) -> Launch:
        account = choose_account(self.layout.cluster)
        binaries = find_binaries()
        self.layout.settle(account)
        if not binaries.runnable_by(account):
            binaries = binaries.copied_to(self.layout.private_folder())
            if not binaries.runnable_by(account):
                raise StoreUnavailable(
                    f"The embedded PostgreSQL cannot be run as user {account.uid} from {binaries.root}; is it mounted "
                    "noexec? Set OSSA_DATABASE__DSN to a PostgreSQL of your own."
                )
        if not self.layout.exists:
            self._initialise(account, binaries)
        clear_foreign_pid_file(self.layout.cluster)
        chosen = {**_SETTINGS, "port": str(port), "archive_command": self.layout.archive_command()}
        settings = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries.postgres), "-D", str(self.layout.cluster), *settings]
        return Launch(command, options=account.popen_options())

    def may_retry(self, attempt: int, last_words: str) -> bool:
        """Backends of a killed server may hold its memory a moment longer; the port may have been taken."""
        passing = ("shared memory block", "could not bind", "could not create any TCP")
        return any(words in last_words for words in passing)

    def _empty_cluster(self) -> Path:
        """A cluster is made aside and renamed, so that it is whole or absent."""
        fresh = self.layout.root / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        return fresh

    def _initialise(self, account: Account, binaries: Binaries) -> None:
        fresh = self._empty_cluster()
        account.give(fresh)
        secret = fresh.with_name("cluster.pw")
        secret.unlink(missing_ok=True)
        made_once(secret, self.layout.password)
        account.give(secret)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        where: list[str | Path] = ["--pgdata", fresh, "--username", USER, "--pwfile", secret]
        try:
            done = account.run([binaries.initdb, *where, *options], env=PLAIN_ENVIRONMENT)
        finally:
            secret.unlink(missing_ok=True)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise StoreUnavailable(f"The embedded PostgreSQL could not be set up: {' '.join(said[-2:])}")
        fresh.rename(self.layout.cluster)

    def _ensure_database(self, port: int) -> None:
        try:
            with psycopg.connect(self._dsn(port, "postgres"), autocommit=True, connect_timeout=10) as conn:
                row = conn.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
                if row is None:
                    conn.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise StoreUnavailable(
                f"The embedded PostgreSQL in {self.layout.data_dir} runs but refuses us: {str(error).splitlines()[0]}"
            ) from error

    def _dsn(self, port: int, database: str) -> str:
        return f"postgresql://{USER}:{self.layout.password()}@127.0.0.1:{port}/{database}"


def find_postmaster(cluster: Path) -> Postmaster | None:
    """Returns None when there is no pid file, it is stale, or its pid belongs to another program now."""
    lines = _pid_file(cluster)
    if len(lines) < 4 or not lines[0].isdigit() or not lines[3].isdigit():
        return None
    pid = int(lines[0])
    if not lives(pid) or not _serves(pid, cluster):
        return None
    return Postmaster(pid=pid, port=int(lines[3]), ready=len(lines) > 7 and lines[7] == "ready")


def clear_foreign_pid_file(cluster: Path) -> None:
    """Removes a pid file whose pid belongs to another program now.

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
