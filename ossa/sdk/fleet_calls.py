"""The calls that both clients have."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import ConfigDict, Field, computed_field

from ossa.contracts.compression import Compressed
from ossa.contracts.routing import Route
from ossa.sdk.blocking import IO, Calls, call
from ossa.sdk.chat import Prompt, messages_of
from ossa.sdk.cost import BudgetCalls, CostCalls
from ossa.sdk.errors import UnexpectedAnswer
from ossa.sdk.events import EventCalls
from ossa.sdk.exchange import Exchange, Request
from ossa.sdk.fleet import AgentCalls, Operation, OperationCalls, PoolCalls
from ossa.sdk.keys import KeyCalls
from ossa.sdk.memory import MemoryCalls
from ossa.sdk.received import Listing, Received
from ossa.sdk.routing import Decisions, RoutingCalls
from ossa.sdk.scaling import Alerts, Scaling
from ossa.sdk.tasks import TaskCalls

PHASE = "phase4-enterprise-analytics"
SCALING = "/api/v1/scaling"


class Compression(Compressed):
    """`text` is what to use; `decompress(handles[0])` (or of `text`) gives the original back, for a week."""

    model_config = ConfigDict(extra="ignore")

    milliseconds: float = 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def reduction(self) -> float:
        """The share of the tokens that is gone."""
        return super().reduction


class Original(Received):
    """The original of a compressed text."""

    content: str


class Check(Received):
    ok: bool
    detail: str = ""


class Health(Received):
    """`ok` is the gateway's verdict: new work is taken."""

    ok: bool = Field(default=False, validation_alias="ready")
    checks: dict[str, Check] = {}

    @property
    def faults(self) -> tuple[str, ...]:
        """A line for each check that is not ok."""
        return tuple(
            f"{name}: {check.detail or 'not ok'}" for name, check in sorted(self.checks.items()) if not check.ok
        )


class Version(Received):
    version: str
    name: str = ""
    api: str = ""


class ModelName(Received):
    id: str


class ModelNames(Listing[ModelName]):
    """What `model` may be in a chat."""


class FleetCalls(Calls[IO]):
    """A fleet as a client sees it."""

    def __init__(self, exchange: Exchange[IO]) -> None:
        super().__init__(exchange)
        self.tasks = TaskCalls(exchange)
        self.agents = AgentCalls(exchange)
        self.pools = PoolCalls(exchange)
        self.operations = OperationCalls(exchange)
        self.keys = KeyCalls(exchange)
        self.routing = RoutingCalls(exchange)
        self.budgets = BudgetCalls(exchange)
        self.cost = CostCalls(exchange)
        self.memory = MemoryCalls(exchange)
        self.events = EventCalls(exchange)

    @call
    async def deploy_phase(self, target_agents: int, phase: str = PHASE) -> Operation:
        """Sizes the five pools of a phase to `target_agents` in all. Follow it with `operations.wait`."""
        body = {"phase": phase, "target_agents": target_agents}
        return await self._exchange.send(Operation, Request("POST", "/api/v1/orchestration/deploy-phase", json=body))

    @call
    async def spawn_pool(self, pool_type: str, agent_count: int) -> Operation:
        """Gives one pool the size `agent_count`; `enterprise-analytics` is the intelligence pool."""
        body = {"pool_type": pool_type, "agent_count": agent_count}
        return await self._exchange.send(Operation, Request("POST", "/api/v1/agents/spawn-pool", json=body))

    @call
    async def scale_to_phase4(self, target: str, kubernetes_nodes: int) -> Operation:
        """Scales fleet and nodes; `target` looks like `200-agent-enterprise`."""
        body = {"target": target, "kubernetes_nodes": kubernetes_nodes}
        return await self._exchange.send(
            Operation, Request("POST", "/api/v1/infrastructure/scale-to-phase4", json=body)
        )

    @call
    async def compress(
        self,
        content: str,
        question: str = "",
        *,
        reduction: float | None = None,
        budget_tokens: int | None = None,
        kind: str | None = None,
        floor: bool = True,
        model: str = "",
    ) -> Compression:
        """Makes a context shorter for a model; the fleet keeps the original for a week. See `ossa.vortex.compress`."""
        body = {
            "content": content,
            "question": question,
            "reduction": reduction,
            "budget_tokens": budget_tokens,
            "kind": kind,
            "floor": floor,
            "model": model,
        }
        return await self._exchange.send(Compression, Request("POST", "/api/v1/compress", json=body))

    @call
    async def decompress(self, text: str) -> str:
        """Returns the original of a compressed text, or of a handle. Raises `NotFound`."""
        return (await self._exchange.send(Original, Request("POST", "/api/v1/decompress", json={"text": text}))).content

    @call
    async def route(
        self,
        /,
        prompt: Prompt,
        *,
        model: str = "auto",
        metadata: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Route:
        """Returns where a request would go now, and why. Nothing is run.

        Raises what the fleet would answer instead of a turn.
        """
        body: dict[str, Any] = {"model": model, "messages": messages_of(prompt)}
        if metadata:
            body["metadata"] = dict(metadata)
        if parameters:
            body["parameters"] = parameters
        (decided,) = await self._exchange.send(Decisions, Request("POST", "/api/v1/route", json=body))
        if decided.error:
            raise decided.error.to_error()
        if decided.route is None:
            raise UnexpectedAnswer("The answer has neither a route nor an error.")
        return decided.route

    @call
    async def scaling(self, *, limit: int = 20) -> Scaling:
        """Returns what the scaler sees, expects and decided, with its last `limit` changes."""
        return await self._exchange.send(Scaling, Request("GET", SCALING, {"limit": limit}))

    @call
    async def alert(self, *pools: str, for_s: float = 300.0) -> Alerts:
        """Says that these pools, or all where none is named, need more agents for `for_s` seconds; 0 ends it.

        It is said as Alertmanager says it; saying it again only renews it.
        """
        status = "firing" if for_s > 0 else "resolved"
        alerts = [{"status": status, "labels": {"severity": "critical", "pool": pool}} for pool in pools or ("*",)]
        params = {"for_s": f"{for_s:g}"} if for_s > 0 else {}
        body = {"version": "4", "alerts": alerts}
        return await self._exchange.send(Alerts, Request("POST", f"{SCALING}/alerts", params, json=body))

    @call
    async def models(self) -> tuple[str, ...]:
        """Lists what `model` may be in a chat."""
        return tuple(model.id for model in await self._exchange.send(ModelNames, Request("GET", "/v1/models")))

    @call
    async def health(self) -> Health:
        """Returns whether the fleet is well. One that is not answers too."""
        return await self._exchange.send(Health, Request("GET", "/health", also_ok=(503,)))

    @call
    async def version(self) -> Version:
        """Returns the version that the fleet runs."""
        return await self._exchange.send(Version, Request("GET", "/version"))

    @call
    async def close(self) -> None:
        """Closes the connections."""
        await self._exchange.io.close()

    def __repr__(self) -> str:
        connection = self._exchange.connection
        return f"{type(self).__name__}(url={connection.url!r}, api_key={connection.api_key!r})"

    def _openai_options(self) -> dict[str, Any]:
        connection = self._exchange.connection
        return {
            "base_url": f"{connection.url}/v1",
            "api_key": connection.api_key.get_secret_value() or "none",
            "timeout": self._exchange.io.http.timeout.read,
        }


def openai_module() -> Any:
    """Imports the official client. Raises `ModuleNotFoundError` that says what to install."""
    try:
        return import_module("openai")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "client.openai() needs the official client: pip install openai", name="openai"
        ) from error
