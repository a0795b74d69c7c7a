"""Agents, pools and the operations that change them: `client.agents`, `client.pools`, `client.operations`."""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import AliasChoices, Field, computed_field

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.fleet import Operation as OperationRecord
from ossa.contracts.fleet import PoolInfo
from ossa.sdk.blocking import IO, Calls, call
from ossa.sdk.exchange import Request, given, path_of
from ossa.sdk.received import Listing, Received

AGENTS = "/api/v1/agents"
POOLS = "/api/v1/pools"
OPERATIONS = "/api/v1/operations"

Manifest = str | Path | Mapping[str, Any] | AgentSpec


class Agent(Received):
    """One live agent. `id` names its place (`intelligence-003`) and outlives a process."""

    id: str = Field(validation_alias=AliasChoices("agent_id", "id"))
    pool: str
    state: str
    manifest: str = ""
    version: str = ""
    tier: str = ""
    capabilities: tuple[str, ...] = ()
    description: str = ""
    own: bool = Field(default=False, description="this tenant's own, not shared")
    node_id: str = ""
    slots: int = 1
    started_at: datetime | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def agent_id(self) -> str:
        """`id` by the API's name for it, also in JSON."""
        return self.id


class Agents(Listing[Agent]):
    columns: ClassVar[tuple[str, ...]] = ("id", "pool", "state", "manifest", "version", "tier", "capabilities")


class AgentMoment(Received):
    """One thing that happened to an agent; `id` is that of the fact."""

    id: str
    agent: str
    type: str
    at: datetime
    outcome: str = ""
    reason: str = ""
    pool: str = ""
    manifest: str = ""
    version: str = ""
    incarnation: str = ""
    node: str = ""
    actor: str = ""
    request_id: str = ""
    tenant: str = ""

    @property
    def what(self) -> str:
        """`ready`, `lost`, `replaced`, `removed`, ..."""
        return self.type.removeprefix("ossa.agent.").rpartition(".")[0] or self.type


class AgentMoments(Listing[AgentMoment]):
    columns: ClassVar[tuple[str, ...]] = ("at", "what", "outcome", "reason", "manifest", "version", "node", "actor")


class AgentMomentPage(Received):
    """`next` is what the next page comes before; None on the last one."""

    data: tuple[AgentMoment, ...]
    next: int | None = None


class AgentPage(Received):
    """`next` is what the next page comes after; None on the last one."""

    data: tuple[Agent, ...]
    next: str | None = None


class Pool(PoolInfo):
    """A pool in numbers; `pending` says why agents are not up, when they are not."""

    @property
    def settled(self) -> bool:
        return self.ready == self.desired and not self.starting and not self.draining


class Pools(Listing[Pool]):
    columns: ClassVar[tuple[str, ...]] = ("name", "desired", "ready", "starting", "draining", "blocks", "pending")


class Operation(OperationRecord):
    """A change of the fleet that takes time. `progress` counts agents ready and wanted, by pool."""

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "failed")

    def raise_for_failure(self) -> Operation:
        """Returns the operation when it succeeded or is still open; raises the error it failed with."""
        if self.error:
            raise self.error.to_error()
        return self


class Operations(Listing[Operation]):
    columns: ClassVar[tuple[str, ...]] = ("id", "kind", "status", "created_at", "updated_at")


def manifest_text(manifest: Manifest) -> str:
    """Returns the manifest as YAML or JSON text. A `Path` is read; a `str` is the text itself.

    Raises `InvalidRequest` when the file cannot be read as UTF-8, or a spec kept no document.
    """
    if isinstance(manifest, str):
        return manifest
    if isinstance(manifest, Path):
        try:
            return manifest.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{manifest} cannot be read: {error}", param="manifest") from error
    if isinstance(manifest, AgentSpec):
        if not manifest.document:
            raise InvalidRequest(f"The spec {manifest.name!r} holds no document to send.", param="manifest")
        return json.dumps(manifest.document)
    return json.dumps(dict(manifest))


class AgentCalls(Calls[IO]):
    """`client.agents`."""

    @call
    async def list(self, *, pool: str | None = None, state: str | None = None) -> Agents:
        """Lists all agents, by id; `state` is `starting`, `ready` or `draining`."""
        agents: builtins.list[Agent] = []
        filters = {"pool": pool, "state": state, "after": None}
        while True:
            params = {name: value for name, value in filters.items() if value}
            page = await self._exchange.send(AgentPage, Request("GET", AGENTS, params))
            agents.extend(page.data)
            if page.next is None:
                return Agents(agents)
            filters["after"] = page.next

    @call
    async def get(self, agent_id: str) -> Agent:
        """Returns one agent. Raises `NotFound`."""
        return await self._exchange.send(Agent, Request("GET", path_of(AGENTS, agent_id)))

    @call
    async def history(self, agent_id: str, *, limit: int = 50) -> AgentMoments:
        """Lists what happened to an agent, newest first. Raises `NotFound` for one that nothing is known of."""
        moments: builtins.list[AgentMoment] = []
        before: int | None = None
        while len(moments) < limit:
            params = given(before=before, limit=min(1000, limit - len(moments)))
            page = await self._exchange.send(
                AgentMomentPage, Request("GET", path_of(AGENTS, agent_id, "history"), params)
            )
            moments.extend(page.data)
            before = page.next
            if before is None:
                break
        return AgentMoments(moments)

    @call
    async def create(self, manifest: Manifest, *, pool: str | None = None) -> Agent:
        """Starts a tenant's own agent: `manifest` is OSSA text, a `Path`, a mapping or an `AgentSpec`."""
        body = {"manifest": manifest_text(manifest), **({"pool": pool} if pool else {})}
        # Not repeatable: each time makes another agent.
        return await self._exchange.send(Agent, Request("POST", AGENTS, json=body, repeatable=False))

    @call
    async def delete(self, agent_id: str) -> Agent:
        """Removes a tenant's own agent; its running turns finish first."""
        return await self._exchange.send(Agent, Request("DELETE", path_of(AGENTS, agent_id), repeatable=False))

    @call
    async def drain(self, agent_id: str) -> Operation:
        """Replaces the agent's process once its running turns have finished."""
        return await self._exchange.send(
            Operation, Request("POST", path_of(AGENTS, agent_id, "drain"), repeatable=False)
        )


class PoolCalls(Calls[IO]):
    """`client.pools`."""

    @call
    async def list(self) -> Pools:
        """Lists all pools, in the mission's order."""
        return await self._exchange.send(Pools, Request("GET", POOLS))

    @call
    async def get(self, name: str) -> Pool:
        """Returns one pool. Raises `NotFound`."""
        return await self._exchange.send(Pool, Request("GET", path_of(POOLS, name)))

    @call
    async def scale(self, name: str, size: int) -> Operation:
        """Gives a pool the size `size`."""
        return await self._exchange.send(
            Operation, Request("POST", path_of(POOLS, name, "scale"), json={"agents": size})
        )

    @call
    async def apply(self, name: str, manifest: Manifest) -> Operation:
        """Rolls a manifest's new version out over a pool, agent by agent."""
        body = {"manifest": manifest_text(manifest)}
        return await self._exchange.send(Operation, Request("POST", path_of(POOLS, name, "manifest"), json=body))


class OperationCalls(Calls[IO]):
    """`client.operations`."""

    @call
    async def get(self, operation_id: str) -> Operation:
        """Returns the operation as it is now. Raises `NotFound`."""
        return await self._exchange.send(Operation, Request("GET", path_of(OPERATIONS, operation_id)))

    @call
    async def list(self, *, open_only: bool = False, limit: int = 50) -> Operations:
        """Lists operations, newest first."""
        params: dict[str, str | int] = {"open_only": "true" if open_only else "false", "limit": limit}
        return await self._exchange.send(Operations, Request("GET", OPERATIONS, params))

    @call
    async def wait(self, operation_id: str, *, timeout_s: float = 600.0, poll_s: float = 0.25) -> Operation:
        """Returns the operation once it has ended, well or not. Raises `TimedOut`; the operation then goes on."""
        path = path_of(OPERATIONS, operation_id)
        return await self._exchange.wait(Operation, path, operation_id, timeout_s=timeout_s, poll_s=poll_s)
