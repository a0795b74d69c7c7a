"""Reading a DSN: one server, or several members of which one leads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ossa.contracts.configuration import Database
from ossa.contracts.errors import InvalidRequest

STANDBYS = "standbys"
"""In place of a replica's DSN."""

_LEAST_CONNECT_S = 2  # the driver's own


@dataclass(frozen=True)
class Member:
    host: str | None
    hostaddr: str | None
    port: str | None

    def __str__(self) -> str:
        return f"{self.host or self.hostaddr or 'localhost'}:{self.port or 5432}"


@dataclass(frozen=True, repr=False)
class Dsn:
    """`options` hold the password: never show them."""

    members: tuple[Member, ...]
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"Dsn({self.name})"

    @property
    def name(self) -> str:
        """For messages: every host and port, database and user."""
        user = self.options.get("user") or "the default user"
        return f"{','.join(map(str, self.members))}/{self.options.get('dbname') or ''} as {user}"

    def params(self, first: int) -> dict[str, Any]:
        """For the driver; the members are tried in turn, beginning with the one numbered `first`."""
        order = [self.members[(first + n) % len(self.members)] for n in range(len(self.members))]
        params = dict(self.options)
        for part in ("host", "hostaddr", "port"):
            values = [getattr(member, part) or "" for member in order]
            if any(values):
                params[part] = ",".join(values)
        return params


def read_dsn(dsn: str, database: Database, *, setting: str = "database.dsn", standbys: bool = False) -> Dsn:
    """`dsn` over the settings over what suits the program. Raises `InvalidRequest`, without a word of it.

    Args:
        standbys: of several members those are meant that follow, and not the one that leads.
    """
    try:
        said = conninfo_to_dict(dsn)
        members = _members(said)
    except (psycopg.Error, ValueError):
        # The driver quotes the part it did not understand, which may be the password.
        raise InvalidRequest(
            "The PostgreSQL DSN cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or with several "
            "members postgresql://USER:PASSWORD@HOST1:PORT1,HOST2:PORT2/DATABASE?target_session_attrs=read-write.",
            param=setting,
        ) from None
    each_s = math.floor(database.connect_timeout_s / len(members))
    defaults: dict[str, Any] = {
        "application_name": "ossa",
        "connect_timeout": max(_LEAST_CONNECT_S, each_s),
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": math.ceil(database.statement_timeout_s * 1000),
    }
    if len(members) > 1:
        defaults["target_session_attrs"] = "standby" if standbys else "read-write"
    chosen = {
        "password": database.password.get_secret_value(),
        "sslmode": database.ssl_mode,
        "sslrootcert": database.ssl_root_cert,
        "sslcert": database.ssl_cert,
        "sslkey": database.ssl_key,
    }
    options = {**defaults, **{name: value for name, value in chosen.items() if value}, **said}
    return Dsn(tuple(members), {name: value for name, value in options.items() if name not in _PLACES})


def replica_dsn(database: Database, dsn: str) -> Dsn | None:
    """Returns the DSN for reads that tolerate lag; None for the primary. Raises `InvalidRequest`."""
    wanted = database.replica_dsn.get_secret_value()
    if not wanted:
        return None
    if wanted != STANDBYS:
        return read_dsn(wanted, database, setting="database.replica_dsn", standbys=True)
    primary = read_dsn(dsn, database)
    if len(primary.members) < 2:
        raise InvalidRequest(
            f"OSSA_DATABASE__REPLICA_DSN is `{STANDBYS}`, and OSSA_DATABASE__DSN names one server: name every member "
            "there, or the replicas here.",
            param="database.replica_dsn",
        )
    return Dsn(primary.members, {**primary.options, "target_session_attrs": "standby"})


_PLACES = ("host", "hostaddr", "port")


def _members(said: dict[str, Any]) -> list[Member]:
    hosts, addresses, ports = (str(said.get(part) or "").split(",") for part in _PLACES)
    many = max(len(hosts), len(addresses))
    if len(ports) not in (1, many):
        raise ValueError("ports do not match hosts")
    ports = ports * many if len(ports) == 1 else ports
    for port in ports:
        if port and not 0 < int(port) < 2**16:
            raise ValueError("no port")
    pad = [""] * many
    return [
        Member(host or None, address or None, port or None)
        for host, address, port in zip((hosts + pad)[:many], (addresses + pad)[:many], ports, strict=True)
    ]
