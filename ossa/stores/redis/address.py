"""Reads a DSN: the address of Redis, and its credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio.connection import parse_url

from ossa.contracts.errors import InvalidRequest

Host = tuple[str, int]
DSN = "OSSA_CACHE__DSN"
_CLUSTER = "+cluster://"
_PORT = 6379


@dataclass(frozen=True, slots=True)
class RedisTls:
    """Files for `rediss://`. Without them the system's authorities are trusted, and no certificate of ours is shown."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """For the driver. Raises `InvalidRequest` for a file that cannot be read."""
        named = {
            "ssl_ca_certs": (self.ca_file, "CA_FILE"),
            "ssl_certfile": (self.certificate_file, "CERTIFICATE_FILE"),
            "ssl_keyfile": (self.key_file, "KEY_FILE"),
        }
        for path, setting in named.values():
            if path is not None and not path.is_file():
                raise InvalidRequest(f"OSSA_CACHE__{setting}: {path} is no file.", "cache")
        return {option: str(path) for option, (path, _) in named.items() if path is not None}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """`hosts` are where to ask first, of a cluster; `options` are the driver's, with the password."""

    hosts: tuple[Host, ...]
    cluster: bool
    options: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, dsn: str, *, cluster: bool = False, tls: RedisTls | None = None) -> RedisAddress:
        """Raises `InvalidRequest` that names the setting, and shows nothing of what it holds."""
        cluster = cluster or _CLUSTER in dsn
        scheme, _, rest = dsn.replace(_CLUSTER, "://", 1).partition("://")
        place, mark, query = rest.partition("?")
        access, at, hosts = place.rpartition("@")
        names = hosts.split("/")[0].split(",") if scheme != "unix" else [""]
        try:
            place_of_first = hosts if len(names) == 1 else f"{names[0]}{hosts[len(','.join(names)) :]}"
            options: dict[str, Any] = dict(parse_url(f"{scheme}://{access}{at}{place_of_first}{mark}{query}"))
            addresses = tuple(_host(name) for name in names) if scheme != "unix" else ()
        except (ValueError, TypeError):
            raise InvalidRequest(
                f"{DSN} is no address of a Redis: redis://, rediss:// or unix://, then USER:PASSWORD@HOST:PORT; "
                "redis+cluster://HOST:PORT,HOST:PORT for a cluster; special characters of a password as %XX.",
                "cache.dsn",
            ) from None
        if cluster and (scheme == "unix" or options.get("db")):
            raise InvalidRequest(f"{DSN}: a cluster has no unix:// and no database but 0.", "cache.dsn")
        if len(addresses) > 1 and not cluster:
            raise InvalidRequest(f"{DSN} names several hosts: redis+cluster:// says that they are one.", "cache.dsn")
        if tls is not None and (more := tls.options()):
            if scheme != "rediss":
                raise InvalidRequest(f"{DSN}: certificates are for rediss://.", "cache.dsn")
            options |= more
        return cls(addresses, cluster, options)


def _host(name: str) -> Host:
    """`HOST:PORT`, `HOST`, `[::1]:PORT`. Raises `ValueError`."""
    host, colon, port = name.rpartition(":")
    if not colon or name.endswith("]"):
        host, port = name, str(_PORT)
    host = host.strip("[]")
    if not host or not 0 < int(port) < 65536:
        raise ValueError("no host")
    return host, int(port)
