"""Feedback and routing over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ossa.contracts.routing import ModelKind, ModelRecord, RoutingPolicy
from ossa.gateway.api.schemas import Closed

Rating = Annotated[float, Field(ge=0, le=1, strict=True)] | Literal["up", "down"]


class FeedbackBody(Closed):
    """What a user says of a task's answer. Said again, it replaces what was said before."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"rating": "down", "comment": "not what I asked", "expected": "security"}},
    )

    rating: Rating = Field(description="0 (useless) to 1 (what was wanted); `down` is 0, `up` is 1")
    comment: str = Field("", max_length=4096)
    expected: str = Field("", max_length=253, description="the pool, manifest or agent that should have answered")


class FeedbackView(BaseModel):
    """`expected` is a pool's or manifest's name."""

    task_id: str
    rating: float
    comment: str
    expected: str
    at: datetime


class PolicyView(BaseModel):
    """`source`: whose policy holds; the tenant's own, that of every tenant, or none and the usual one."""

    tenant: str
    policy: RoutingPolicy
    source: Literal["own", "everybody", "usual"]


class RouterModelList(BaseModel):
    data: list[ModelRecord]


class RolledBackView(BaseModel):
    """`live` is null when none was live before: the packaged model serves, or rules do; simple methods
    forecast."""

    kind: ModelKind
    live: ModelRecord | None


ROUTING_MODELS: dict[str, type[BaseModel]] = {model.__name__: model for model in (FeedbackBody, RoutingPolicy)}
