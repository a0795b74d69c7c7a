"""Scaling over the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ossa.contracts.scaling import ScaleDecision, ScalingStatus
from ossa.gateway.api.schemas import Open

MOST_ALERTS = 10_000


class ScalingView(ScalingStatus):
    """What the scaler sees, expects and decided; `recent`: decisions that changed something, newest first."""

    recent: tuple[ScaleDecision, ...] = ()


class AlertBody(Open):
    """One of Alertmanager's alerts. The labels `severity` and `pool` are looked at."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = Field(default_factory=dict)


class AlertmanagerBody(Open):
    """Alertmanager's webhook payload."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "version": "4",
                "alerts": [{"status": "firing", "labels": {"severity": "critical", "pool": "security"}}],
            }
        },
    )

    version: Literal["4"]
    alerts: list[AlertBody] = Field(max_length=MOST_ALERTS)


class TakenAlert(BaseModel):
    """`pool` `*`: every pool. `for_s` 0: it is over."""

    alert: int = Field(description="its place in `alerts`, from 0")
    pool: str
    for_s: float


class IgnoredAlert(BaseModel):
    alert: int = Field(description="its place in `alerts`, from 0")
    reason: str


class AlertsView(BaseModel):
    taken: list[TakenAlert]
    ignored: list[IgnoredAlert]


SCALING_MODELS: dict[str, type[BaseModel]] = {model.__name__: model for model in (AlertmanagerBody,)}
