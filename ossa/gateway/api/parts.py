"""What the routes need, made once by `create_app` and found on the app's state."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.answers import Answers
from ossa.contracts.compression import Compressor
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.fleet import FleetPort
from ossa.contracts.memory import Memory
from ossa.contracts.stores import Stores
from ossa.gateway.dispatcher import Dispatcher
from ossa.gateway.eventing import Eventing
from ossa.gateway.metrics import GatewayMetrics
from ossa.gateway.optimising import Optimiser
from ossa.routing.registry import LiveRouter
from ossa.tenancy.key_ring import KeyRing

ReadManifest = Callable[[str | dict[str, Any]], AgentSpec]


@dataclass(frozen=True)
class ApiParts:
    """`operator_tenant`'s admins may make and revoke keys of other tenants."""

    settings: GatewaySettings
    stores: Stores
    fleet: FleetPort
    dispatcher: Dispatcher
    keys: KeyRing
    metrics: GatewayMetrics
    router: LiveRouter
    optimiser: Optimiser
    eventing: Eventing
    read_manifest: ReadManifest
    operator_tenant: str
    version: str
    compressor: Compressor | None = None
    answers: Answers | None = None
    memory: Memory | None = None
    started_at: float = field(default_factory=time.time)
    spawning: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """By tenant: its own agents are counted and added to one at a time."""


def parts_of(request: Request) -> ApiParts:
    parts: ApiParts = request.app.state.parts
    return parts
