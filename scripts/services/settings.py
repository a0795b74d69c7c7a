"""What is decided once for a service, and remembered: how many members, which ports, which password."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ossa.app.local_ray import free_port

Ports = dict[str, dict[str, int]]
"""Member to port name to port."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    members: int
    ports: Ports
    password: str
    identity: str
    """16 random bytes in base64url: the id of a cluster that wants one."""

    def port(self, member: str, name: str) -> int:
        return self.ports[member][name]


def decide(members: int, wanted: Mapping[str, Iterable[str]], taken: frozenset[int]) -> ServiceSettings:
    """`wanted` maps a member to the names of its ports. Raises OSError when there are not enough free ports."""
    used = set(taken)
    ports: Ports = {}
    for member, names in wanted.items():
        ports[member] = {}
        for name in names:
            ports[member][name] = free_port(taken=frozenset(used))
            used.add(ports[member][name])
    return ServiceSettings(members, ports, secrets.token_urlsafe(24), secrets.token_urlsafe(16))


def read_settings(path: Path) -> ServiceSettings | None:
    """None when nothing was decided."""
    try:
        return ServiceSettings(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None


def write_settings(path: Path, settings: ServiceSettings) -> None:
    """Readable by ourselves alone; whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(settings), file, indent=1)
    partial.rename(path)


def all_ports(root: Path) -> frozenset[int]:
    """Those that any service of this folder has, started or not."""
    found = (read_settings(path) for path in root.glob("*/service.json"))
    return frozenset(
        port for settings in found if settings for ports in settings.ports.values() for port in ports.values()
    )
