"""The real gateway over test doubles: its HTTP API without Ray, PostgreSQL, a model or a socket.

app = gateway_app(fleet=FakeFleet.of({"security": 1}), link=FakeLink(answer="Hello"))
async with app.router.lifespan_context(app):
    transport = httpx.ASGITransport(app=app)
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI

from ossa.app.extensions import Backends, MakeExtension, extensions_of
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.fleet import FleetPort
from ossa.contracts.turn import AgentLink
from ossa.gateway.application import create_app
from ossa.gateway.core import GatewayCore
from ossa.testing.gateway import FakeFleet, FakeLink
from ossa.testing.stores import MemoryStores
from ossa.vortex.service import CompressionService


def gateway_app(
    *,
    settings: GatewaySettings | None = None,
    stores: MemoryStores | None = None,
    fleet: FleetPort | None = None,
    link: AgentLink | None = None,
    backends: Backends | None = None,
    installed: Iterable[MakeExtension] = (),
    drain_s: float = 0.2,
    **core: Any,
) -> FastAPI:
    """Returns the app; its `state.context` is the `ossa.gateway.context.GatewayContext`.

    Args:
        backends: default: compression in the process, no answer cache, no memory.
        installed: extensions beside the standard ones.
        core: further fields of `ossa.gateway.core.GatewayCore`.
    """
    stores = stores or MemoryStores()
    made = GatewayCore(
        settings=settings or GatewaySettings(),
        stores=stores,
        fleet=fleet or FakeFleet.of({"intelligence": 2, "security": 2}, store=stores.fleet),
        link=link or FakeLink(),
        **{"rng": random.Random(1), **core},
    )
    backends = backends or Backends(compressor=CompressionService(stores.originals))
    return create_app(made, extensions_of(made, backends, installed=installed), drain_s=drain_s)
