"""Redis, from Debian: one, and the configuration that a cluster's members share with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ossa.embedded.postgres_programs import Account
from scripts.services.home import write_private
from scripts.services.needs import program
from scripts.services.service import HOST, Address, Member, Service

NEED = program("redis-server", "redis-server")
_MEMBER = "redis"
_ANSWER_S = 2.0

_SAFE = {
    "bind": HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "maxmemory-policy": "noeviction",
}


class Redis(Service):
    """Keeps its data: all but the last second of writes survive."""

    name = "redis"
    needs = (NEED,)

    @classmethod
    def ports(cls, members: int) -> dict[str, tuple[str, ...]]:
        return {_MEMBER: ("redis",)}

    def prepare(self) -> None:
        port = self.settings.port(_MEMBER, "redis")
        write_configuration(self.home.data, _MEMBER, port, self.settings.password, self.account)

    def stages(self) -> Sequence[Sequence[Member]]:
        return [[redis_member(self.home.data, _MEMBER)]]

    def problem(self, member: str) -> str | None:
        try:
            with connect(self.settings.port(member, "redis"), self.settings.password) as client:
                client.ping()
        except redis.RedisError as error:
            return str(error)
        return None

    def address(self) -> Address:
        host = self.hosts("redis")[0]
        return Address(f"redis://:{self.settings.password}@{host}/0", (host,))


def write_configuration(
    data: Path, name: str, port: int, password: str, account: Account, more: Mapping[str, str] | None = None
) -> None:
    """`NAME.conf` beside the folder `NAME` of the member's data."""
    folder = data / name
    if not folder.exists():
        folder.mkdir(mode=0o700)
        account.give(folder)
    settings = {**_SAFE, "port": str(port), "dir": f'"{folder}"', "requirepass": password, "masterauth": password}
    lines = [f"{setting} {value}\n" for setting, value in {**settings, **(more or {})}.items()]
    write_private(data / f"{name}.conf", "".join(lines), account)


def redis_member(data: Path, name: str) -> Member:
    return Member(name, ("/usr/bin/redis-server", str(data / f"{name}.conf")))


def connect(port: int, password: str) -> redis.Redis:
    return redis.Redis(
        HOST,
        port,
        password=password,
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=_ANSWER_S,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
