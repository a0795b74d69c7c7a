"""The gateway on Ray Serve. With its neighbours of that name the only files of the gateway that know Ray."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from ossa.contracts.agent_spec import Tier
from ossa.contracts.cache import CacheStore
from ossa.contracts.configuration import AnswerSettings, EventSettings, GatewaySettings
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import EventBus
from ossa.contracts.fleet import FleetPort
from ossa.contracts.routing import TierInfo
from ossa.contracts.stores import Stores
from ossa.contracts.turn import AgentLink
from ossa.gateway.answers_deployment import MakeAnswers, RemoteAnswers, answers_application
from ossa.gateway.api.parts import ApiParts
from ossa.gateway.application import create_app
from ossa.gateway.memory_deployment import MakeMemory, RemoteMemory, memory_application
from ossa.gateway.vortex_deployment import MakeService, RemoteCompressor, vortex_application

DEPLOYMENT = "gateway"
HEALTH_CHECK_S = 2.0
DRAIN_S = 20.0
OTHER_REQUESTS = 128
"""Beside `max_inflight` chats: health checks, event streams, the fleet's own calls."""

TOLERATED_S = 60.0
"""How long a replica without a lease counts as well: a new replica would not reach the store either."""


@dataclass(frozen=True)
class GatewayParts:
    """What a replica is built from; made in the replica's own process, on its event loop.

    `models` says what stands behind the tiers; `history_days`: ended tasks stay so long.
    `close` is called at the replica's end, after the dispatcher, the link and the stores.
    """

    stores: Stores
    fleet: FleetPort
    link: AgentLink
    operator_tenant: str = "default"
    cache: CacheStore | None = None
    models: str = ""
    tiers: Mapping[Tier, TierInfo] = field(default_factory=dict)
    bus: EventBus | None = None
    events: EventSettings = field(default_factory=EventSettings)
    history_days: float = 30
    close: Callable[[], Awaitable[None]] | None = None


MakeParts = Callable[[], Awaitable[GatewayParts]]


@serve.ingress()
class Gateway:
    """One replica: an API, a dispatcher, and the leases of what it accepted."""

    async def __init__(  # type: ignore[misc]
        self,
        settings: GatewaySettings,
        make_parts: MakeParts,
        vortex: DeploymentHandle[Any],
        answers: DeploymentHandle[Any] | None = None,
        answer_settings: AnswerSettings | None = None,
        memory: DeploymentHandle[Any] | None = None,
    ) -> None:
        self._gateway_parts = await make_parts()
        self._gateway_settings = settings
        self._gateway_compressor = RemoteCompressor(vortex)
        self._gateway_answers = (
            RemoteAnswers(answers, answer_settings) if answers is not None and answer_settings is not None else None
        )
        self._gateway_memory = RemoteMemory(memory) if memory is not None else None
        self._gateway_app: FastAPI | None = None
        self._unwell_since: float | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        parts = self._gateway_parts
        self._gateway_app = create_app(
            settings=self._gateway_settings,
            stores=parts.stores,
            fleet=parts.fleet,
            link=parts.link,
            operator_tenant=parts.operator_tenant,
            cache=parts.cache,
            answers=self._gateway_answers,
            memory=self._gateway_memory,
            models=parts.models,
            tiers=parts.tiers,
            bus=parts.bus,
            events_as=parts.events,
            history_days=parts.history_days,
            compressor=self._gateway_compressor,
            replica=f"gateway-{os.getpid()}",
            drain_s=DRAIN_S,
            on_close=parts.close,
            request_id_echoed=True,  # Serve gives every request an id, and adds it to every answer
        )
        return self._gateway_app

    async def check_health(self) -> None:
        """Raises when this process, and not only the store, seems to be what is broken."""
        api: ApiParts | None = getattr(getattr(self._gateway_app, "state", None), "parts", None)
        if api is None:
            return
        if api.dispatcher.accepting:
            self._unwell_since = None
            return
        now = asyncio.get_running_loop().time()
        if self._unwell_since is None:
            self._unwell_since = now
        try:
            async with asyncio.timeout(HEALTH_CHECK_S):
                await api.stores.journal.ping()
        except (StoreUnavailable, TimeoutError):
            if now - self._unwell_since < TOLERATED_S:
                return
        else:
            # The store answers and still there is no lease: give the loop a few rounds, then be replaced.
            if now - self._unwell_since < 5 * self._gateway_settings.lease_ttl_s:
                return
        raise RuntimeError("The gateway has held no lease for too long.")


def gateway_application(
    settings: GatewaySettings,
    make_parts: MakeParts,
    make_compression: MakeService,
    *,
    make_answers: MakeAnswers | None = None,
    answer_settings: AnswerSettings | None = None,
    make_memory: MakeMemory | None = None,
    memory_replicas: int = 1,
) -> serve.Application:
    """The Serve application. The makers are pickled: let them hold settings, not connections.

    Without `make_answers` there is no answer cache, without `make_memory` no memory.
    """
    vortex = vortex_application(make_compression, replicas=settings.vortex_replicas)
    answers = answers_application(make_answers) if make_answers is not None else None
    memory = memory_application(make_memory, replicas=memory_replicas) if make_memory is not None else None
    options: dict[str, Any] = {
        "name": DEPLOYMENT,
        "num_replicas": settings.replicas,
        "max_ongoing_requests": settings.max_inflight + OTHER_REQUESTS,
        "max_queued_requests": -1,
        "health_check_period_s": 5,
        "health_check_timeout_s": 15,
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": DRAIN_S + 10,
        "ray_actor_options": {"num_cpus": 0},
        # One line a request costs more than routing does; metrics count requests, and errors are logged with their id.
        "logging_config": {"enable_access_log": False},
    }
    return serve.deployment(**options)(Gateway).bind(settings, make_parts, vortex, answers, answer_settings, memory)
