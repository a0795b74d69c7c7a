"""Events over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ossa.contracts.events import Event, EventStatus
from ossa.events.dead_letters import DeadLetter
from ossa.gateway.api.schemas import Closed

MOST_TYPES = 20
TYPE = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$"

EXAMPLE_EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "agent/intelligence-003:8c1f0a2b9d3e4f55",
    "source": "/ossa",
    "type": "ossa.agent.lost.v1",
    "subject": "agent/intelligence-003",
    "time": "2026-01-31T12:00:00.123456Z",
    "datacontenttype": "application/json",
    "dataschema": "urn:ossa:schema:ossa.agent.lost.v1",
    "partitionkey": "agent/intelligence-003",
    "tenant": "_system",
    "actor": "system/controller",
    "requestid": "",
    "traceparent": "",
    "data": {"agent": "intelligence-003", "pool": "intelligence", "outcome": "failed", "reason": "its process died"},
}


class EventQuery(Closed):
    """Which facts, from where on, and how many. A filter that is left out lets all through."""

    type: list[Annotated[str, StringConstraints(pattern=TYPE, max_length=128)]] = Field(
        [],
        max_length=MOST_TYPES,
        description="a type, or the beginning of types with a dot at its end; repeatable",
        examples=[["ossa.agent."], ["ossa.task.finished.v1"]],
    )
    agent: str = Field("", max_length=256, description="an agent's id: facts about it, and facts that name it")
    subject: str = Field("", max_length=256, description="`agent/ID`, `pool/NAME`, `key/ID`, a task's id, ...")
    actor: str = Field("", max_length=256, description="who acted: `key/ID`, `agent/ID`, `system/PART`")
    request_id: str = Field("", max_length=256, description="`x-request-id` of the request that led to it")
    since: str | None = Field(
        None, max_length=64, description="RFC 3339, or how long ago", examples=["15m", "2026-01-31T12:00:00Z"]
    )
    until: str | None = Field(None, max_length=64, description="as `since`; not of a stream")
    tenant: str | None = Field(
        None, min_length=1, max_length=63, description="another tenant's facts, for the operator's admins"
    )
    after: str | None = Field(None, max_length=64, description="a cursor: the `next` of the page before")
    order: Literal["asc", "desc"] = Field("desc", description="of a page; `desc`: newest first")
    limit: int | None = Field(None, ge=1, le=1000, description="50 facts a page; a stream has no end without it")
    stream: bool = Field(False, description="server-sent events instead of a page")


class EventPage(BaseModel):
    """Facts as CloudEvents. A page may be short, even empty, and still have a `next`: a request looks at a bounded
    part of the log.
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"data": [EXAMPLE_EVENT], "next": "f4f0000", "follow": "f510000"}}
    )

    data: list[Event]
    next: str | None = Field(description="cursor of the page after this one; null: there is nothing more now")
    follow: str = Field(description="cursor of the place after the newest fact of this page: stream on from there")


class GroupView(BaseModel):
    """A consumer group of the fact log."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "group": "agent-history",
                "shards": 1,
                "members": ["gateway-a1b2-1"],
                "waiting": 3,
                "position": "f510000",
                "waiting_since": "2026-01-31T12:00:00.123456Z",
            }
        }
    )

    group: str
    shards: int = Field(description="shares of its keys, which may be read by as many processes")
    members: list[str] = Field(description="processes that read for it")
    waiting: int = Field(description="facts that it has not dealt with; an estimate above 10,000")
    position: str = Field(description="cursor that it goes on from; of its last share, where it has several")
    waiting_since: datetime | None = Field(None, description="time of the oldest fact that waits")


class GroupList(BaseModel):
    data: list[GroupView]


class SeekBody(Closed):
    """Where a group goes on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"to": "2h"}})

    to: str = Field(
        min_length=1,
        max_length=64,
        description="`oldest`, `newest`, a time (RFC 3339, or how long ago: `2h`), or a cursor",
        examples=["oldest", "newest", "2h", "2026-01-31T12:00:00Z", "f510000"],
    )


class DeadLetterList(BaseModel):
    """The first dead letters that were not put back."""

    data: list[DeadLetter]


class ReplayBody(Closed):
    """How many dead letters to put back."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"limit": 1}})

    limit: int | None = Field(None, ge=1, le=100_000, description="the first ones; null: all that are there now")


class Replayed(BaseModel):
    replayed: int


SCHEMAS: tuple[type[BaseModel], ...] = (Event, EventStatus, SeekBody, ReplayBody)
