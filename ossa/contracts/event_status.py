"""How events are doing, as a gateway replica tells it."""

from __future__ import annotations

from pydantic import Field

from ossa.contracts.events import BusStatus, OutboxStatus
from ossa.contracts.value import Value


class EventStatus(Value):
    """`leading`: the replica that answered is the one that publishes. `trouble`: why it does not, or ''."""

    telling: bool = Field(description="whether the journal writes events down")
    outbox: OutboxStatus = OutboxStatus()
    bus: BusStatus | None = None
    leading: bool = False
    published: int = Field(0, description="by the replica that answered, since it began")
    trouble: str = ""
    groups: dict[str, int] = Field(default_factory=dict, description="watched groups: messages they have not committed")
