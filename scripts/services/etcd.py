"""etcd, from Debian: where Patroni keeps who leads."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.services.home import ServiceHome
from scripts.services.needs import program
from scripts.services.service import HOST, Member
from scripts.services.settings import ServiceSettings

NEED = program("etcd", "etcd-server")
PORTS = ("client", "peer")

# Slower than etcd's own 100 and 1000: the members share two cores and a disk with all else.
_HEARTBEAT_MS = 250
_ELECTION_MS = 2500
# Told to end with the others, one tries for long to hand over its lead. All it answered for is on disk.
_GRACE_S = 1.0


def etcd_members(names: Sequence[str], home: ServiceHome, settings: ServiceSettings) -> list[Member]:
    """The processes of one etcd cluster."""
    peers = {name: f"http://{HOST}:{settings.port(name, 'peer')}" for name in names}
    together = ",".join(f"{name}={url}" for name, url in peers.items())
    return [
        Member(
            name,
            (
                "/usr/bin/etcd",
                f"--name={name}",
                f"--data-dir={home.data / name}",
                f"--listen-client-urls={client_url(name, settings)}",
                f"--advertise-client-urls={client_url(name, settings)}",
                f"--listen-peer-urls={peers[name]}",
                f"--initial-advertise-peer-urls={peers[name]}",
                f"--initial-cluster={together}",
                f"--initial-cluster-token={settings.identity}",
                f"--heartbeat-interval={_HEARTBEAT_MS}",
                f"--election-timeout={_ELECTION_MS}",
                "--auto-compaction-retention=1",
                "--log-level=warn",
                "--logger=zap",
            ),
            grace_s=_GRACE_S,
        )
        for name in names
    ]


def client_url(name: str, settings: ServiceSettings) -> str:
    return f"http://{HOST}:{settings.port(name, 'client')}"
