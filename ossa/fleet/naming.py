"""Builds and parses the names of agents, blocks, actors and placement groups."""

from __future__ import annotations

import secrets
from typing import NamedTuple

CONTROLLER = "ossa:controller"
FORECASTER = "ossa:forecaster"
STANDBY_POOL = "standby"
_PREFIX = "ossa"


class ActorName(NamedTuple):
    """`ossa:{place}:{incarnation}`; `place` is the agent id the process was started for, or `standby`."""

    place: str
    incarnation: str

    def __str__(self) -> str:
        return f"{_PREFIX}:{self.place}:{self.incarnation}"


def new_incarnation() -> str:
    """Returns a new name for one process. It is never used twice."""
    return secrets.token_hex(6)


def agent_id(pool: str, index: int) -> str:
    return f"{pool}-{index:03d}"


def block_name(pool: str, index: int) -> str:
    return f"{pool}-b{index:03d}"


def block_pool(block: str) -> str:
    return block.rpartition("-b")[0]


def parse_actor_name(name: str) -> ActorName | None:
    """Returns None for an actor that is not an agent of a fleet."""
    parts = name.split(":")
    if len(parts) != 3 or parts[0] != _PREFIX or not parts[1] or not parts[2]:
        return None
    return ActorName(parts[1], parts[2])


def group_name(namespace: str, block: str) -> str:
    """Placement groups are listed for the whole cluster, so their names carry the namespace."""
    return f"{_PREFIX}:{namespace}:{block}"


def parse_group_name(name: str, namespace: str) -> str | None:
    """Returns the block of that placement group; None when it is not this fleet's."""
    prefix = f"{_PREFIX}:{namespace}:"
    return name[len(prefix) :] if name.startswith(prefix) else None
