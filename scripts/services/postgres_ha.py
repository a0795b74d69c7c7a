"""Three PostgreSQL of which one leads, kept by Patroni with three etcd.

Clients name all three (`target_session_attrs=read-write`): libpq finds the one that leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic, sleep

import psycopg
import yaml

from ossa.embedded.postgres import find_postmaster
from scripts.services import http
from scripts.services.etcd import NEED as ETCD
from scripts.services.etcd import PORTS as ETCD_PORTS
from scripts.services.etcd import client_url, etcd_members
from scripts.services.home import write_private
from scripts.services.needs import POSTGRES, program
from scripts.services.patroni import patroni_configuration
from scripts.services.postgres import (
    ADMIN,
    DATABASE,
    USER,
    await_orphans,
    ensure_database,
    first_line,
    installed_programs,
    refusal,
)
from scripts.services.process import ProcessRecord, record_of
from scripts.services.service import HOST, Address, Member, Service

_NUMBERS = (1, 2, 3)
_ETCD = [f"etcd-{number}" for number in _NUMBERS]
_PATRONI = [f"patroni-{number}" for number in _NUMBERS]
_PORTS = ("sql", "rest")
_CONNECT_S = 3
_LEADER_S = 60.0
_POLL_S = 0.1
_FOLLOWERS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"


class PostgresHa(Service):
    """`etcd-N` and `patroni-N` are started here; each Patroni starts and restarts its `postgres-N`."""

    name = "postgres-ha"
    sizes = (3,)
    needs = (POSTGRES, ETCD, program("patroni", "patroni"))

    @classmethod
    def ports(cls, members: int) -> dict[str, tuple[str, ...]]:
        return {**dict.fromkeys(_ETCD, ETCD_PORTS), **dict.fromkeys(_PATRONI, _PORTS)}

    def prepare(self) -> None:
        programs = installed_programs()
        for name in _PATRONI:
            await_orphans(self.home.data / name)
            configuration = patroni_configuration(
                name,
                sql_port=self.settings.port(name, "sql"),
                rest_port=self.settings.port(name, "rest"),
                etcd=list(self.hosts("client")),
                password=self.settings.password,
                data=self.home.data,
                programs=programs,
            )
            write_private(self.home.data / f"{name}.yml", yaml.safe_dump(configuration), self.account)

    def stages(self) -> Sequence[Sequence[Member]]:
        patronis = [Member(name, ("/usr/bin/patroni", str(self.home.data / f"{name}.yml"))) for name in _PATRONI]
        # The first makes the cluster; the others would only wait for it.
        return [etcd_members(_ETCD, self.home, self.settings), patronis[:1], patronis[1:]]

    def problem(self, member: str) -> str | None:
        if member in _ETCD:
            return http.refusal(f"{client_url(member, self.settings)}/health")
        return http.refusal(f"http://{HOST}:{self.settings.port(member, 'rest')}/health")

    def problem_of_all(self) -> str | None:
        """One leads, the others follow it, and Patroni knows one of them that has all that was committed."""
        try:
            with psycopg.connect(self._dsn(ADMIN, ADMIN), connect_timeout=_CONNECT_S, autocommit=True) as leader:
                (followers,) = leader.execute(_FOLLOWERS).fetchone() or (0,)
        except psycopg.Error as error:
            return f"nobody leads: {first_line(error)}"
        if followers < len(_PATRONI) - 1:
            return f"{followers} of {len(_PATRONI) - 1} follow the leader"
        roles = self._roles()
        return None if "sync_standby" in roles else f"no synchronous standby among {', '.join(roles) or 'none'}"

    def _roles(self) -> list[str]:
        """As Patroni would choose by them, should the leader die now."""
        found = http.answer(f"http://{HOST}:{self.settings.port(_PATRONI[0], 'rest')}/cluster")
        return [member["role"] for member in found["members"]] if found else []

    def form(self) -> None:
        deadline = monotonic() + _LEADER_S
        while refusal(self._dsn(ADMIN, ADMIN)) is not None and monotonic() < deadline:
            sleep(_POLL_S)  # after a member was killed, another leader may have to be elected first
        ensure_database(self._dsn(ADMIN, ADMIN), self.settings.password)

    def children(self) -> dict[str, ProcessRecord]:
        found = {}
        for number, patroni in zip(_NUMBERS, _PATRONI, strict=True):
            postmaster = find_postmaster(self.home.data / patroni)
            if postmaster is not None:
                found[f"postgres-{number}"] = record_of(postmaster.pid, ["postgres"], {"sql": postmaster.port})
        return found

    def address(self) -> Address:
        return Address(self._dsn(USER, DATABASE), self.hosts("sql"), admin=self._dsn(ADMIN, DATABASE))

    def _dsn(self, user: str, database: str) -> str:
        hosts = ",".join(self.hosts("sql"))
        return f"postgresql://{user}:{self.settings.password}@{hosts}/{database}?target_session_attrs=read-write"
