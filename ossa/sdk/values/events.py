"""How events are doing."""

from __future__ import annotations

from pydantic import Field

from ossa.sdk.values.received import Received


class Outbox(Received):
    """`rows`: entries that wait; `oldest_s`: the age of the oldest."""

    rows: int = 0
    oldest_s: float = 0.0


class Bus(Received):
    """`kind` `mock`: it keeps nothing; `remarks` say what cannot be relied on."""

    kind: str
    address: str = ""
    topic: str = ""
    dead_topic: str = ""
    remarks: tuple[str, ...] = ()


class EventStatus(Received):
    """`trouble`: why events are not published, or ''. `groups`: messages that watched groups have not committed."""

    telling: bool
    outbox: Outbox = Outbox()
    bus: Bus | None = None
    leading: bool = False
    published: int = 0
    trouble: str = ""
    groups: dict[str, int] = Field(default_factory=dict)
