"""What the stores promise. `ossa.stores` keeps the promises; `tests/contract` holds every store to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from ossa.contracts.access import ApiKey
from ossa.contracts.agent_history import AgentHistoryStore
from ossa.contracts.budgets import BudgetStore, SpendingStore
from ossa.contracts.events import FactLog, ProcessedEvents
from ossa.contracts.fleet import DesiredAgent, DesiredFleet, DesiredPool, Operation
from ossa.contracts.routing import RoutingStore
from ossa.contracts.scaling import ScalingStore
from ossa.contracts.task import NewTask, Outcome, Step, Target, Task, TaskStatus, UsageToday
from ossa.contracts.value import Value


class Accepted(Value):
    """`created` is False when the idempotency key was known and the body the same."""

    task: Task
    created: bool


class Backlog(Value):
    """Tasks of one target that nobody has."""

    target: Target
    tasks: int


class Journal(Protocol):
    """Accepted work, durable before it is acknowledged.

    A dispatcher (`owner`) holds a lease that it renews as a whole; a task belongs
    to the owner under a fence that grows with every change of owner. All writes
    of a task under an old fence raise `Fenced`. Every method raises
    `StoreUnavailable` when the store does not answer in time.
    """

    async def accept(self, new: NewTask, *, owner: str | None) -> Accepted:
        """Write the task down; returns after the commit.

        With `owner` the task starts out running with fence 1; without, queued.
        Raises `IdempotencyConflict` when (tenant, idempotency_key) is known with another body_sha256.
        """

    async def claim(self, *, owner: str, limit: int) -> list[Task]:
        """Take up to `limit` tasks, oldest first, that are queued or whose owner's lease ended.

        Each comes back running, with fence + 1 and attempts + 1.
        Never hands one task to two owners. Raises `Conflict` when the caller holds no lease (`renew`).
        """

    async def append(self, task_id: str, *, fence: int, steps: Sequence[Step], agent_id: str | None = None) -> None:
        """Add steps (their seq continues the task's); returns after the commit. Raises `Fenced`, `NotFound`.

        Appending a (seq) that is already there under the same fence with the same kind is a no-op (a retry);
        a gap or another kind raises `Conflict`.
        """

    async def finish(
        self,
        task_id: str,
        *,
        fence: int,
        outcome: Outcome,
        steps: Sequence[Step] = (),
        usage_subjects: Sequence[str] = (),
    ) -> None:
        """Add the last steps, end the task and add `outcome.usage` to today's usage of each subject, in one commit.

        Subjects are `tenant:NAME` and `manifest:NAME`. Finishing an ended task
        again with the same status is a no-op. Raises `Fenced`, `NotFound`.
        """

    async def release(self, task_id: str, *, fence: int) -> None:
        """Put a running task back to queued (nobody could take it now); the attempt does not count.

        Releasing a queued task again is a no-op. Raises `Fenced`, `NotFound`.
        """

    async def renew(self, owner: str, *, ttl_s: float) -> None:
        """Start or prolong the owner's lease."""

    async def retire(self, owner: str) -> None:
        """End the owner's lease now: its running tasks become claimable at once."""

    async def get(self, task_id: str, *, tenant: str | None = None) -> Task:
        """Raises `NotFound` also when the task is another tenant's. `tenant=None` is for the runtime itself."""

    async def tasks(
        self, *, tenant: str, status: TaskStatus | None = None, limit: int = 50, before: str | None = None
    ) -> list[Task]:
        """Newest first; `before` is the id of the last one of the page before."""

    async def steps(self, task_id: str, *, tenant: str | None = None, after: int = -1) -> list[Step]:
        """Steps with seq > after, in order; none of another tenant's task."""

    async def request_cancel(self, task_id: str, *, tenant: str) -> Task:
        """A queued task ends as cancelled at once; a running one gets `cancel_requested`; an ended one stays."""

    async def cancel_requests(self, owner: str) -> list[str]:
        """Ids of running tasks of this owner whose cancellation was asked for."""

    async def count_open(self, *, tenant: str | None = None) -> int:
        """Tasks queued or running."""

    async def backlog(self, *, owners: Sequence[str]) -> list[Backlog]:
        """What `claim` would find without a limit, counted by target.

        It is told to one replica of many: to the one that has, among `owners`, the least id of all that hold a
        lease. The others get nothing.
        """

    async def usage_today(self, subject: str) -> UsageToday:
        """Subject is `tenant:NAME` or `manifest:NAME`."""

    async def ping(self) -> None:
        """Raises `StoreUnavailable`."""

    async def close(self) -> None: ...


class KeyStore(Protocol):
    """API keys, by the sha256 of their secret."""

    async def add(self, key: ApiKey, *, secret_sha256: bytes) -> None: ...

    async def find(self, secret_sha256: bytes) -> ApiKey | None: ...

    async def keys(self, *, tenant: str | None = None) -> list[ApiKey]: ...

    async def revoke(self, key_id: str, *, at: datetime, tenant: str | None = None) -> ApiKey:
        """Raises `NotFound`. Revoking twice keeps the first time."""


class FleetStore(Protocol):
    """The desired fleet and the operations on it."""

    async def load(self) -> DesiredFleet: ...

    async def save_pool(self, pool: DesiredPool) -> DesiredPool:
        """Insert or replace; returns it with revision + 1."""

    async def save_agent(self, agent: DesiredAgent) -> None: ...

    async def remove_agent(self, agent_id: str) -> None: ...

    async def save_standby(self, count: int) -> None: ...

    async def save_phase(self, phase: str) -> None: ...

    async def secret(self, name: str, fresh: str) -> str:
        """The fleet's secret of that name; `fresh` becomes it when there is none yet. One winner among many callers."""

    async def note_configuration(self, part: str, settings: Mapping[str, str], *, version: str) -> list[str]:
        """Notes the settings that a part of the system starts with, and tells which differ from its last start.

        Args:
            part: `fleet` for controller and gateway, which start together.
            settings: by name, a digest of the value.

        Returns the names of those that differ; none at a first start.
        """

    async def save_operation(self, operation: Operation) -> None: ...

    async def operation(self, operation_id: str, *, tenant: str | None = None) -> Operation:
        """Raises `NotFound`."""

    async def operations(
        self, *, tenant: str | None = None, open_only: bool = False, limit: int = 50
    ) -> list[Operation]: ...


class Pruned(Value):
    """What a round removed: tasks, and whole parts of the history."""

    tasks: int
    parts: int


class HistoryStore(Protocol):
    """Ended tasks, with their steps and outcomes, do not stay for ever."""

    async def prune(self, *, before: datetime) -> Pruned:
        """Remove tasks that ended before that time, and their idempotency keys; open ones stay, however old.

        In small batches, one caller at a time: who finds another one at it removes nothing. Days' sums of what was
        spent stay.
        """


class DesiredStores(Protocol):
    """All that the controller needs of `Stores`."""

    @property
    def fleet(self) -> FleetStore: ...

    @property
    def scaling(self) -> ScalingStore: ...

    @property
    def facts(self) -> FactLog: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class PredictorStores(Protocol):
    """All that the predictor needs of `Stores`: samples, and the registry's models."""

    @property
    def scaling(self) -> ScalingStore: ...

    @property
    def routing(self) -> RoutingStore: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class Stores(Protocol):
    """What `ossa.app` hands out. Opened in the process that uses it."""

    @property
    def journal(self) -> Journal: ...

    @property
    def keys(self) -> KeyStore: ...

    @property
    def fleet(self) -> FleetStore: ...

    @property
    def routing(self) -> RoutingStore: ...

    @property
    def budgets(self) -> BudgetStore: ...

    @property
    def spending(self) -> SpendingStore: ...

    @property
    def scaling(self) -> ScalingStore: ...

    @property
    def facts(self) -> FactLog: ...

    @property
    def processed(self) -> ProcessedEvents: ...

    @property
    def history(self) -> HistoryStore: ...

    @property
    def agent_history(self) -> AgentHistoryStore: ...

    async def open(self) -> None:
        """Connect; the first one migrates (one process at a time)."""

    async def close(self) -> None: ...
