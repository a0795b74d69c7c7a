"""What ended tasks used, by day, and a closer look at the newest of them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Protocol

from pydantic import Field

from ossa.contracts.value import Value


class Spent(Value):
    """Ended tasks of one UTC day that have all of these in common; "" where it is not known.

    `in_doubt_usd` was reserved for calls whose cost nobody knows; it is not in `cost_usd`, and has no model and tier.
    """

    day: date
    tenant: str
    pool: str = ""
    manifest: str = ""
    model: str = ""
    tier: str = ""
    tasks: int = 0
    succeeded: int = 0
    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    saved_tokens: int = 0
    cost_usd: float = 0.0
    cost_squared: float = Field(default=0.0, description="sum over tasks of the square of each one's cost")
    in_doubt_usd: float = 0.0


class TaskFacts(Value):
    """One ended task, without its texts.

    `question`: a digest, the same for the same question of the same tenant to the same target; `tool_tokens`: of the
    results of tools, roughly; `asynchronous`: nobody waited on the line; `vortex`: as the request said.
    """

    task_id: str
    at: datetime = Field(description="of the request")
    tenant: str
    pool: str = ""
    manifest: str = ""
    tier: str = ""
    succeeded: bool = False
    question: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    saved_tokens: int = 0
    model_calls: int = 0
    tool_tokens: int = 0
    cost_usd: float = 0.0
    asynchronous: bool = False
    given_earlier: bool = False
    vortex: bool | None = None


class Approval(Value):
    """A proposal that was approved, as it stood then. `subject`: the manifest or pool it is about."""

    id: str
    kind: str
    subject: str
    by: str = Field(description="the key's id, or `policy`")
    at: datetime
    proposal: dict[str, Any]


class SpendingStore(Protocol):
    """All raise `StoreUnavailable`. `tenant=None` is for the operator."""

    async def spending(self, *, since: date, tenant: str | None = None) -> list[Spent]:
        """Returns what was spent from `since` on, at most one row for each combination and day."""

    async def newest(self, *, limit: int, tenant: str | None = None) -> list[TaskFacts]:
        """Returns those of the newest `limit` tasks that have ended, newest first."""

    async def approve(self, approval: Approval) -> bool:
        """False when that proposal was approved before; the first one stays."""

    async def approvals(self) -> list[Approval]:
        """Newest first."""
