"""`/health`, `/version` and `/metrics`: open to everybody, cheap to ask."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.errors import NotReady, StoreUnavailable
from ossa.gateway.api.document import describe
from ossa.gateway.api.responses import json_response
from ossa.gateway.api.schemas import Health, Version
from ossa.gateway.context import GatewayContext, context_of
from ossa.gateway.hooks import Check, HealthCheck

router = APIRouter(tags=["Service"])

logger = logging.getLogger(__name__)

CHECK_S = 2.0
METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def _described_health() -> dict[str, object]:
    route = describe("Whether new work is taken", "503 with the same body when not.", scope=None, answer=Health)
    route["responses"][503] = {**route["responses"][503], "model": Health, "description": "No new work is taken"}
    return route


@router.get("/health", **_described_health())  # type: ignore[arg-type]
async def health(request: Request) -> Response:
    health = await check_health(context_of(request))
    headers = {} if health.ready else {"retry-after": "1"}
    return json_response(health, status=200 if health.ready else 503, headers=headers)


@router.get("/health/live", **describe("Whether the process lives", scope=None, answer=Health))
async def live(request: Request) -> Response:
    return json_response(Health(live=True, ready=context_of(request).dispatcher.accepting, checks={}))


@router.get("/version", **describe("What this is", scope=None, answer=Version))
async def version(request: Request) -> Response:
    return json_response(Version(name="ossa-on-ray", version=context_of(request).version, api="v1"))


@router.get(
    "/metrics",
    **describe(
        "Metrics of this replica, for Prometheus",
        scope=None,
        content={"text/plain": {"schema": {"type": "string"}}},
    ),
)
async def metrics(request: Request) -> Response:
    context = context_of(request)
    await _gather(context)
    return Response(context.core.metrics.text(), headers={"content-type": METRICS_MEDIA_TYPE})


async def check_health(context: GatewayContext) -> Health:
    """The store is asked; the fleet and the lease are known here."""
    checks = {
        "journal": await _journal(context),
        "fleet": _fleet(context),
        "lease": Check(ok=context.dispatcher.accepting, detail=f"{context.dispatcher.running} tasks here"),
    }
    for extension in context.extensions.values():
        for name, check in extension.health.items():
            checks[name] = await _bounded(check)
    return Health(live=True, ready=all(check.ok for check in checks.values()), checks=checks)


async def _bounded(check: HealthCheck) -> Check:
    try:
        async with asyncio.timeout(CHECK_S):
            return await check()
    except TimeoutError:
        return Check(ok=False, detail="does not answer")
    except Exception as error:
        logger.exception("health_check_failed")
        return Check(ok=False, detail=f"the check itself failed: {type(error).__name__}")


async def _journal(context: GatewayContext) -> Check:
    try:
        async with asyncio.timeout(CHECK_S):
            await context.core.stores.journal.ping()
    except (StoreUnavailable, TimeoutError):
        return Check(ok=False, detail="does not answer")
    return Check(ok=True)


def _fleet(context: GatewayContext) -> Check:
    try:
        snapshot = context.core.fleet.snapshot()
    except NotReady as error:
        return Check(ok=False, detail=error.message)
    states = Counter(agent.state.value for agent in snapshot.agents)
    return Check(ok=True, detail=", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "empty")


async def _gather(context: GatewayContext) -> None:
    """Gauges that are read when they are asked for."""
    gauge = context.core.metrics.agents
    gauge.clear()
    try:
        for agent in context.core.fleet.snapshot().agents:
            gauge.labels(agent.pool, agent.state.value).inc()
        async with asyncio.timeout(CHECK_S):
            context.core.metrics.open_tasks.set(await context.core.stores.journal.count_open())
    except (NotReady, StoreUnavailable, TimeoutError):
        context.core.metrics.failures.labels("metrics").inc()
    for extension in context.extensions.values():
        if extension.scrape is not None:
            _scrape(context, extension.scrape)


def _scrape(context: GatewayContext, scrape: Callable[[], None]) -> None:
    """One extension's gauges: what fails there costs no other series."""
    try:
        scrape()
    except NotReady:
        context.core.metrics.failures.labels("metrics").inc()
    except Exception:
        logger.exception("scrape_failed")
        context.core.metrics.failures.labels("metrics").inc()
