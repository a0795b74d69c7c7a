"""Agents and pools, as the fleet shows them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import AliasChoices, Field, computed_field

from ossa.sdk.values.listing import Listing
from ossa.sdk.values.received import Received


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
    own: bool = False
    """This tenant's own, not shared."""
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


class AgentPage(Received):
    """`next` is what the next page comes after; None on the last one."""

    data: tuple[Agent, ...]
    next: str | None = None


class Pool(Received):
    """A pool in numbers; `pending` says why agents are not up, when they are not."""

    name: str
    desired: int
    ready: int
    starting: int = 0
    draining: int = 0
    blocks: int = 0
    pending: str = ""
    manifests: tuple[str, ...] = ()

    @property
    def settled(self) -> bool:
        return self.ready == self.desired and not self.starting and not self.draining


class Pools(Listing[Pool]):
    columns: ClassVar[tuple[str, ...]] = ("name", "desired", "ready", "starting", "draining", "blocks", "pending")
