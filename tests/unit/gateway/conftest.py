"""A gateway over memory and fakes, reached without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import pytest

from ossa.app.extensions import Backends, MakeExtension
from ossa.contracts.access import Scope
from ossa.contracts.agent_spec import Tier
from ossa.contracts.answers import Answers
from ossa.contracts.configuration import EventSettings, GatewaySettings
from ossa.contracts.events import EventBus
from ossa.contracts.routing import TierInfo
from ossa.contracts.task import Task
from ossa.gateway.context import GatewayContext
from ossa.gateway.dispatcher import Dispatcher
from ossa.tenancy.keys import mint
from ossa.testing.app import gateway_app
from ossa.testing.gateway import FakeFleet, FakeLink, eventually
from ossa.testing.stores import MemoryStores
from ossa.vortex.service import CompressionService


@dataclass
class Rig:
    """One gateway replica and what is behind it."""

    stores: MemoryStores
    fleet: FakeFleet
    link: FakeLink
    settings: GatewaySettings
    http: httpx.AsyncClient
    app: Any
    secret: str
    others: dict[str, str] = field(default_factory=dict)

    @property
    def context(self) -> GatewayContext:
        context: GatewayContext = self.app.state.context
        return context

    @property
    def dispatcher(self) -> Dispatcher:
        return self.context.dispatcher

    @property
    def openai(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=self.secret, base_url="http://gateway/v1", http_client=self.http, max_retries=0
        )

    async def key(self, tenant: str = "default", scopes: Iterable[Scope] = (Scope.ADMIN,)) -> dict[str, str]:
        """Headers of a new key."""
        minted = mint(tenant=tenant, name="test", scopes=scopes, now=datetime.now(UTC))
        await self.stores.keys.add(minted.key, secret_sha256=minted.secret_sha256)
        return {"authorization": f"Bearer {minted.secret}"}

    async def ask(self, text: str = "hi", model: str = "auto", **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.secret}", **more.pop("headers", {})}
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return await self.http.post("/v1/chat/completions", json=body, headers=headers)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.http.request(
            method, path, json=body, headers={"authorization": f"Bearer {self.secret}", **headers}
        )

    async def task(self, task_id: str) -> Task:
        return await self.stores.journal.get(task_id)

    async def ended(self, task_id: str) -> Task:
        async def look() -> Task | None:
            task = await self.task(task_id)
            return task if task.status.ended else None

        found: Task = await eventually(look)
        return found

    async def kinds(self, task_id: str) -> list[str]:
        return [step.kind for step in await self.stores.journal.steps(task_id)]


OpenRig = Callable[..., Any]


@pytest.fixture
async def open_rig() -> AsyncIterator[OpenRig]:
    """Opens gateways; several may share stores, fleet and link. All are closed after the test."""
    async with AsyncExitStack() as stack:

        async def opened(
            *,
            stores: MemoryStores | None = None,
            fleet: FakeFleet | None = None,
            link: FakeLink | None = None,
            drain_s: float = 0.2,
            answers: Answers | None = None,
            tiers: Mapping[Tier, TierInfo] | None = None,
            bus: EventBus | None = None,
            events_as: EventSettings | None = None,
            installed: Iterable[MakeExtension] = (),
            **settings: Any,
        ) -> Rig:
            return await stack.enter_async_context(
                _rig(stores, fleet, link, drain_s, answers, tiers, settings, bus, events_as, installed)
            )

        yield opened


@asynccontextmanager
async def _rig(
    stores: MemoryStores | None,
    fleet: FakeFleet | None,
    link: FakeLink | None,
    drain_s: float,
    answers: Answers | None,
    tiers: Mapping[Tier, TierInfo] | None,
    settings: dict[str, Any],
    bus: EventBus | None = None,
    events_as: EventSettings | None = None,
    installed: Iterable[MakeExtension] = (),
) -> AsyncIterator[Rig]:
    stores = stores or MemoryStores()
    fleet = fleet or FakeFleet.of({"intelligence": 2, "security": 2}, store=stores.fleet)
    link = link or FakeLink()
    chosen = GatewaySettings(
        **{"claim_interval_s": 0.02, "lease_renew_s": 0.05, "lease_ttl_s": 5.0, "busy_wait_s": 0.1, **settings}
    )
    app = gateway_app(
        settings=chosen,
        stores=stores,
        fleet=fleet,
        link=link,
        backends=Backends(
            compressor=CompressionService(stores.originals), answers=answers, events=events_as or EventSettings()
        ),
        installed=installed,
        drain_s=drain_s,
        tiers=tiers or {},
        bus=bus,
    )
    minted = mint(tenant="default", name="test", scopes=[Scope.ADMIN], now=datetime.now(UTC))
    async with app.router.lifespan_context(app):
        await stores.keys.add(minted.key, secret_sha256=minted.secret_sha256)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            yield Rig(stores, fleet, link, chosen, http, app, minted.secret)
        link.let_go()


@pytest.fixture
async def rig(open_rig: OpenRig) -> Rig:
    found: Rig = await open_rig()
    return found
