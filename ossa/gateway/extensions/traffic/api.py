"""`/api/v1/scaling`: what the scaler decides and why, and alerts that more agents help."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import NotFound
from ossa.contracts.scaling import ScaleDecision, ScalingStatus
from ossa.gateway.api.document import describe
from ossa.gateway.api.fleet import known_pool
from ossa.gateway.api.request import AgentsReader, FleetWriter, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import Open
from ossa.gateway.context import GatewayContext, context_of

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


router = APIRouter(tags=["Fleet"])

EVERY_POOL = "*"
CRITICAL = "critical"
ALERT_S = 300.0
LONGEST_ALERT_S = 86_400.0


@router.get(
    "/api/v1/scaling",
    **describe(
        "What the scaler sees, expects and decided",
        "Each pool's sample, forecasts with their rolling errors, the last decision with its reasons, and the last "
        "decisions that changed something.",
        scope=Scope.AGENTS_READ,
        answer=ScalingView,
    ),
)
async def scaling(
    request: Request, caller: AgentsReader, limit: Annotated[int, Query(ge=1, le=200, description="of `recent`")] = 20
) -> Response:
    context = context_of(request)
    status = await context.core.fleet.scaling()
    recent = await context.core.stores.scaling.decisions(limit=limit)
    return json_response(ScalingView(**dict(status), recent=tuple(recent)))


@router.post(
    "/api/v1/scaling/alerts",
    **describe(
        "Take alerts that more agents help",
        "Alertmanager's webhook payload. An alert with the label `severity: critical` lifts the pool of its label "
        "`pool`, or every pool, while it fires: `for_s` seconds from its last notification, so let its route's "
        "`repeat_interval` be shorter. A resolved one ends that. All others are ignored; the answer says what was "
        "taken.",
        scope=Scope.FLEET_WRITE,
        answer=AlertsView,
        body="AlertmanagerBody",
    ),
)
async def take_alerts(
    request: Request,
    caller: FleetWriter,
    body: JsonBody,
    for_s: Annotated[float, Query(ge=1, le=LONGEST_ALERT_S, description="seconds that a firing one counts")] = ALERT_S,
) -> Response:
    context = context_of(request)
    view = _sorted_out(context, checked(AlertmanagerBody, body).alerts, for_s)
    over = sorted({one.pool for one in view.taken if not one.for_s})
    firing = sorted({one.pool for one in view.taken if one.for_s})
    if over:
        await context.core.fleet.alert(over, for_s=0)
    if firing:
        await context.core.fleet.alert(firing, for_s=for_s)
    return json_response(view)


def _sorted_out(context: GatewayContext, alerts: list[AlertBody], for_s: float) -> AlertsView:
    """A pool of which one alert is over and another one fires still has one that fires."""
    view = AlertsView(taken=[], ignored=[])
    meant: list[tuple[int, AlertBody, str]] = []
    for place, alert in enumerate(alerts):
        severity = alert.labels.get("severity", "")
        if severity != CRITICAL:
            view.ignored.append(IgnoredAlert(alert=place, reason=f"severity is {severity[:64]!r}, not {CRITICAL!r}"))
            continue
        try:
            meant.append((place, alert, _pool(context, alert)))
        except NotFound as error:
            view.ignored.append(IgnoredAlert(alert=place, reason=error.message))
    firing = {pool for _, alert, pool in meant if alert.status == "firing"}
    for place, alert, pool in meant:
        if alert.status == "firing":
            view.taken.append(TakenAlert(alert=place, pool=pool, for_s=for_s))
        elif pool in firing:
            view.ignored.append(IgnoredAlert(alert=place, reason=f"another one of {pool} fires"))
        else:
            view.taken.append(TakenAlert(alert=place, pool=pool, for_s=0))
    return view


def _pool(context: GatewayContext, alert: AlertBody) -> str:
    """Raises `NotFound` for a pool that there is not."""
    name = alert.labels.get("pool", "")
    return EVERY_POOL if name in ("", EVERY_POOL) else known_pool(context, name)
