"""One PostgreSQL, from Debian."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep

import psutil
import psycopg
from psycopg import sql

from ossa.embedded.postgres import find_postmaster
from ossa.embedded.postgres_programs import Account
from ossa.embedded.process import works_in
from scripts.services.failure import NotInstalled, ServiceFailed
from scripts.services.home import write_private
from scripts.services.needs import POSTGRES, postgres_programs
from scripts.services.service import HOST, Address, Member, Service

ADMIN = "postgres"
USER = "ossa"
DATABASE = "ossa"
ACCESS = (f"host all all {HOST}/32 scram-sha-256",)
"""Lines of `pg_hba.conf`: nobody without a password, nobody from elsewhere."""
COPIES = (f"host replication {ADMIN} {HOST}/32 scram-sha-256",)
"""For backups."""

SAFE = {
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    # A statement in the log could carry what a user wrote.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
"""Nothing that was committed is lost with the process or the machine."""

_MEMBER = "postgres"
_CONNECT_S = 3
_ORPHANS_S = 20.0
_POLL_S = 0.05


class Postgres(Service):
    name = "postgres"
    needs = (POSTGRES,)

    @classmethod
    def ports(cls, members: int) -> dict[str, tuple[str, ...]]:
        return {_MEMBER: ("sql",)}

    @property
    def _cluster(self) -> Path:
        return self.home.data / "cluster"

    def prepare(self) -> None:
        if not (self._cluster / "PG_VERSION").exists():
            self._initialise()
        await_orphans(self._cluster)
        settings = {"listen_addresses": HOST, "port": str(self.settings.port(_MEMBER, "sql")), **SAFE}
        lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
        write_private(self._cluster / "postgresql.conf", "".join(lines), self.account)
        write_private(self._cluster / "pg_hba.conf", "\n".join((*ACCESS, *COPIES)) + "\n", self.account)

    def stages(self) -> Sequence[Sequence[Member]]:
        command = (str(installed_programs() / "postgres"), "-D", str(self._cluster))
        return [[Member(_MEMBER, command, stop=signal.SIGINT)]]

    def problem(self, member: str) -> str | None:
        return refusal(self._dsn(ADMIN, ADMIN))

    def form(self) -> None:
        ensure_database(self._dsn(ADMIN, ADMIN), self.settings.password)

    def address(self) -> Address:
        return Address(self._dsn(USER, DATABASE), self.hosts("sql"), admin=self._dsn(ADMIN, DATABASE))

    def _dsn(self, user: str, database: str) -> str:
        return f"postgresql://{user}:{self.settings.password}@{self.hosts('sql')[0]}/{database}"

    def _initialise(self) -> None:
        """Made aside and renamed, so that a cluster is whole or absent."""
        fresh = self.home.data / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password = self.home.data / "password"
        write_private(password, self.settings.password, self.account)
        try:
            _initdb(self.account, fresh, password)
        finally:
            password.unlink()
        fresh.rename(self._cluster)


def _initdb(account: Account, cluster: Path, password: Path) -> None:
    command: list[str | Path] = [installed_programs() / "initdb", "-D", cluster, "-U", ADMIN, "--pwfile", password]
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]
    done = account.run([*command, *options], env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"})
    if done.returncode != 0:
        raise ServiceFailed(f"PostgreSQL's cluster could not be made: {(done.stderr or done.stdout).strip()}")


def installed_programs() -> Path:
    """Raises `NotInstalled`."""
    found = postgres_programs()
    if found is None:
        raise NotInstalled(f"Not installed: {POSTGRES.sentence}.")
    return found


def await_orphans(cluster: Path) -> None:
    """Wait for what a killed server left: while one of its processes lives, no new server starts. They end soon."""
    deadline = monotonic() + _ORPHANS_S
    while find_postmaster(cluster) is None and monotonic() < deadline:
        if not any(works_in(pid, "postgres", cluster) for pid in psutil.pids()):
            return
        sleep(_POLL_S)


def refusal(dsn: str) -> str | None:
    """Why a statement cannot be run there, in one line; None when it can."""
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=_CONNECT_S) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return first_line(error)
    return None


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def ensure_database(admin: str, password: str) -> None:
    """The user `ossa`, who owns the database `ossa` and no more. Raises `ServiceFailed`."""
    try:
        with psycopg.connect(admin, autocommit=True, connect_timeout=_CONNECT_S) as connection:
            _ensure(connection, password)
    except psycopg.Error as error:
        raise ServiceFailed(f"PostgreSQL runs but its database could not be made: {error}") from error


def _ensure(connection: psycopg.Connection[tuple[object, ...]], password: str) -> None:
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (USER,)).fetchone() is None:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(USER), sql.Literal(password))
        )
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(USER))
        )
