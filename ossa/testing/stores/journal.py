"""The journal in memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from ossa.contracts.errors import Conflict, NotFound
from ossa.contracts.stores import Accepted, Backlog, Pruned
from ossa.contracts.task import ErrorInfo, NewTask, Outcome, Step, Task, TaskRequest, TaskStatus, UsageToday
from ossa.stores import fact_bodies, journal_rules
from ossa.stores.checks import as_json
from ossa.stores.journal_rules import TaskState
from ossa.testing.stores.facts import MemoryFacts
from ossa.testing.stores.gate import Gate

Clock = Callable[[], datetime]


@dataclass(slots=True)
class _Entry:
    """A task's row. Requests, steps and outcomes are kept as JSON, so that nobody shares a dict with the store."""

    new: NewTask
    request: bytes
    created_at: datetime
    updated_at: datetime
    status: TaskStatus = TaskStatus.QUEUED
    owner: str | None = None
    fence: int = 0
    attempts: int = 0
    cancel_requested: bool = False
    outcome: bytes | None = None
    finished_at: datetime | None = None
    steps: list[tuple[int, Step]] = field(default_factory=list)

    def state(self) -> TaskState:
        written = {step.seq: (fence, step.kind) for fence, step in self.steps}
        return TaskState(self.status, self.fence, len(self.steps), written)

    def task(self) -> Task:
        return Task(
            id=self.new.id,
            tenant=self.new.tenant,
            status=self.status,
            request=TaskRequest.model_validate_json(self.request),
            owner=self.owner,
            fence=self.fence,
            attempts=self.attempts,
            cancel_requested=self.cancel_requested,
            idempotency_key=self.new.idempotency_key,
            outcome=Outcome.model_validate_json(self.outcome) if self.outcome else None,
            created_at=self.created_at,
            updated_at=self.updated_at,
            finished_at=self.finished_at,
        )


class MemoryJournal:
    """`ossa.contracts.stores.Journal`. No call awaits inside, so each is atomic.

    Args:
        facts: what is written is told there; None: nowhere.
    """

    def __init__(self, gate: Gate, clock: Clock, facts: MemoryFacts | None = None) -> None:
        self._facts = facts
        self._gate = gate
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._forgotten: list[Task] = []
        self._leases: dict[str, datetime] = {}
        self._usage: dict[tuple[str, date], UsageToday] = defaultdict(UsageToday)

    async def accept(self, new: NewTask, *, owner: str | None) -> Accepted:
        self._gate.check()
        journal_rules.check_new(new, owner)
        known = self._known(new)
        if known is not None:
            found = known.new
            journal_rules.known_task(new, task_id=found.id, tenant=found.tenant, body_sha256=found.body_sha256)
            return Accepted(task=known.task(), created=False)
        now = self._clock()
        entry = _Entry(new=new, request=as_json(new.request), created_at=now, updated_at=now)
        if owner is not None:
            entry.status, entry.owner, entry.fence, entry.attempts = TaskStatus.RUNNING, owner, 1, 1
        self._entries[new.id] = entry
        if new.idempotency_key is not None:
            self._keys[(new.tenant, new.idempotency_key)] = new.id
        self._emit(entry, fact_bodies.of_accept(new))
        return Accepted(task=entry.task(), created=True)

    async def claim(self, *, owner: str, limit: int) -> list[Task]:
        """Raises `Conflict` when the owner holds no lease."""
        self._gate.check()
        if not self._leased(owner):
            raise Conflict(f"{owner} holds no lease; renew it before claiming.")
        free = [e for e in self._oldest_first() if self._free(e)][:limit]
        for entry in free:
            entry.status, entry.owner = TaskStatus.RUNNING, owner
            entry.fence += 1
            entry.attempts += 1
            entry.updated_at = self._clock()
        return [entry.task() for entry in free]

    async def append(self, task_id: str, *, fence: int, steps: Sequence[Step], agent_id: str | None = None) -> None:
        self._gate.check()
        journal_rules.check_steps(task_id, steps)
        entry = self._entries.get(task_id)
        missing = journal_rules.steps_to_append(task_id, entry.state() if entry else None, fence=fence, steps=steps)
        if entry is not None and entry.status is TaskStatus.RUNNING and (missing or not steps):
            self._add(entry, missing)
            self._emit(entry, fact_bodies.of_append(task_id, missing))

    async def finish(
        self,
        task_id: str,
        *,
        fence: int,
        outcome: Outcome,
        steps: Sequence[Step] = (),
        usage_subjects: Sequence[str] = (),
    ) -> None:
        self._gate.check()
        journal_rules.check_outcome(outcome)
        journal_rules.check_steps(task_id, steps)
        entry = self._entries.get(task_id)
        missing = journal_rules.steps_to_finish(
            task_id, entry.state() if entry else None, fence=fence, status=outcome.status, steps=steps
        )
        if entry is None or missing is None:
            return
        self._add(entry, missing)
        self._end(entry, outcome)
        self._emit(entry, fact_bodies.of_finish(task_id, missing, outcome))
        for subject in usage_subjects:
            self._use(subject, outcome)

    async def release(self, task_id: str, *, fence: int) -> None:
        self._gate.check()
        entry = self._entries.get(task_id)
        if journal_rules.may_release(task_id, entry.state() if entry else None, fence=fence) and entry is not None:
            entry.status, entry.owner = TaskStatus.QUEUED, None
            entry.attempts -= 1
            entry.updated_at = self._clock()

    async def renew(self, owner: str, *, ttl_s: float) -> None:
        self._gate.check()
        self._leases[owner] = self._clock() + timedelta(seconds=ttl_s)

    async def retire(self, owner: str) -> None:
        self._gate.check()
        self._leases.pop(owner, None)

    async def get(self, task_id: str, *, tenant: str | None = None) -> Task:
        self._gate.check()
        return self._visible(task_id, tenant).task()

    async def tasks(
        self, *, tenant: str, status: TaskStatus | None = None, limit: int = 50, before: str | None = None
    ) -> list[Task]:
        self._gate.check()
        found = [
            entry
            for entry in reversed(self._oldest_first())
            if entry.new.tenant == tenant
            and (status is None or entry.status is status)
            and (before is None or entry.new.id < before)
        ]
        return [entry.task() for entry in found[:limit]]

    async def steps(self, task_id: str, *, tenant: str | None = None, after: int = -1) -> list[Step]:
        self._gate.check()
        try:
            entry = self._visible(task_id, tenant)
        except NotFound:
            return []
        return [step for _, step in entry.steps if step.seq > after]

    async def request_cancel(self, task_id: str, *, tenant: str) -> Task:
        self._gate.check()
        entry = self._visible(task_id, tenant)
        if entry.status is TaskStatus.QUEUED:
            entry.cancel_requested = True
            error = ErrorInfo(code="cancelled", message="Cancelled before it began.")
            ended = Outcome(status=TaskStatus.CANCELLED, error=error)
            self._end(entry, ended)
            self._emit(entry, fact_bodies.of_finish(task_id, (), ended))
        elif entry.status is TaskStatus.RUNNING and not entry.cancel_requested:
            entry.cancel_requested = True
            entry.updated_at = self._clock()
        return entry.task()

    async def cancel_requests(self, owner: str) -> list[str]:
        self._gate.check()
        return [
            entry.new.id
            for entry in self._oldest_first()
            if entry.status is TaskStatus.RUNNING and entry.owner == owner and entry.cancel_requested
        ]

    async def count_open(self, *, tenant: str | None = None) -> int:
        self._gate.check()
        entries = self._entries.values()
        return sum(not e.status.ended and (tenant is None or e.new.tenant == tenant) for e in entries)

    async def backlog(self, *, owners: Sequence[str]) -> list[Backlog]:
        self._gate.check()
        if min(filter(self._leased, self._leases), default=None) not in owners:
            return []
        found = Counter(entry.new.request.target for entry in self._entries.values() if self._free(entry))
        return [Backlog(target=target, tasks=tasks) for target, tasks in found.items()]

    async def usage_today(self, subject: str) -> UsageToday:
        self._gate.check()
        return self._usage.get((subject, self._today()), UsageToday())

    def ended_with_steps(self) -> list[tuple[Task, list[Step]]]:
        """All ended tasks with their steps."""
        entries = [entry for entry in self._entries.values() if entry.status.ended]
        return [(entry.task(), [step for _, step in entry.steps]) for entry in entries]

    def ever_ended(self) -> list[Task]:
        """All ended tasks, also those that were forgotten since: for sums."""
        return [*self._forgotten, *(entry.task() for entry in self._entries.values() if entry.status.ended)]

    def holds(self, task_id: str, fence: int) -> bool:
        """Whether the task runs under this fence, and its owner has a lease."""
        entry = self._entries.get(task_id)
        if entry is None or entry.status is not TaskStatus.RUNNING or entry.fence != fence:
            return False
        return entry.owner is not None and self._leased(entry.owner)

    def cost_of_reservation(self, task_id: str, reservation_id: str) -> float | None:
        """USD of the model's step that was paid from it; None: there is none."""
        entry = self._entries.get(task_id)
        for _, step in entry.steps if entry else ():
            if step.kind == "model" and step.payload.get("reservation") == reservation_id:
                return step.usage.cost_usd
        return None

    def ended(self, *, since: datetime, tenant: str | None = None) -> list[Task]:
        """For the stores beside it: tasks that ended at `since` or later, the last one first."""
        found = [
            entry
            for entry in self._entries.values()
            if entry.finished_at is not None
            and entry.finished_at >= since
            and (tenant is None or entry.new.tenant == tenant)
        ]
        found.sort(key=lambda entry: (entry.finished_at, entry.new.id), reverse=True)
        return [entry.task() for entry in found]

    def forget_ended(self, before: datetime) -> int:
        """Those that ended before, and their keys; how many."""
        old = [one for one in self._entries.values() if one.finished_at is not None and one.finished_at < before]
        self._forgotten.extend(entry.task() for entry in old)
        for entry in old:
            del self._entries[entry.new.id]
            if entry.new.idempotency_key is not None:
                del self._keys[(entry.new.tenant, entry.new.idempotency_key)]
        return len(old)

    async def ping(self) -> None:
        self._gate.check()

    async def close(self) -> None:
        """Nothing to close."""

    def _known(self, new: NewTask) -> _Entry | None:
        if new.id in self._entries:
            return self._entries[new.id]
        if new.idempotency_key is None:
            return None
        known = self._keys.get((new.tenant, new.idempotency_key))
        return self._entries[known] if known else None

    def _visible(self, task_id: str, tenant: str | None) -> _Entry:
        entry = self._entries.get(task_id)
        if entry is None or (tenant is not None and entry.new.tenant != tenant):
            raise NotFound(f"There is no task {task_id}.")
        return entry

    def _oldest_first(self) -> list[_Entry]:
        return [self._entries[task_id] for task_id in sorted(self._entries)]

    def _leased(self, owner: str) -> bool:
        until = self._leases.get(owner)
        return until is not None and until > self._clock()

    def _free(self, entry: _Entry) -> bool:
        if entry.status is TaskStatus.RUNNING:
            return entry.owner is None or not self._leased(entry.owner)
        return entry.status is TaskStatus.QUEUED

    def _add(self, entry: _Entry, steps: Sequence[Step]) -> None:
        copies = [Step.model_validate_json(as_json(step)) for step in steps]
        entry.steps.extend((entry.fence, step) for step in copies)
        entry.updated_at = self._clock()

    def _end(self, entry: _Entry, outcome: Outcome) -> None:
        entry.status = outcome.status
        entry.outcome = as_json(outcome)
        entry.finished_at = entry.updated_at = self._clock()

    def _emit(self, entry: _Entry, body: bytes | None) -> None:
        if self._facts is not None and body is not None:
            self._facts.add(key=entry.new.id, tenant=entry.new.tenant, telling=body)

    def _use(self, subject: str, outcome: Outcome) -> None:
        key = (subject, self._today())
        before = self._usage[key]
        self._usage[key] = UsageToday(
            tokens=before.tokens + outcome.usage.total_tokens, cost_usd=before.cost_usd + outcome.usage.cost_usd
        )

    def _today(self) -> date:
        return self._clock().astimezone(UTC).date()


class MemoryHistory:
    """`ossa.contracts.stores.HistoryStore`."""

    def __init__(self, gate: Gate, journal: MemoryJournal) -> None:
        self._gate = gate
        self._journal = journal

    async def prune(self, *, before: datetime) -> Pruned:
        self._gate.check()
        return Pruned(tasks=self._journal.forget_ended(before), parts=0)
