"""Policies, feedback and router models in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from ossa.contracts.errors import Conflict, NotFound
from ossa.contracts.routing import Example, Feedback, ModelKind, ModelRecord, Route, RoutingPolicy
from ossa.contracts.task import Task
from ossa.stores import store_facts
from ossa.stores.checks import as_json
from ossa.stores.examples import example_of
from ossa.testing.stores.facts import MemoryFacts
from ossa.testing.stores.gate import Gate, Gated
from ossa.testing.stores.journal import MemoryJournal


class MemoryRouting(Gated):
    """`ossa.contracts.routing.RoutingStore`. No call changes anything across an await, so each is atomic."""

    def __init__(self, gate: Gate, clock: Callable[[], datetime], journal: MemoryJournal, facts: MemoryFacts) -> None:
        self._gate = gate
        self._facts = facts
        self._clock = clock
        self._journal = journal
        self._policies: dict[str, RoutingPolicy] = {}
        self._feedback: dict[str, Feedback] = {}
        self._records: dict[tuple[ModelKind, int], ModelRecord] = {}
        self._files: dict[tuple[ModelKind, int], bytes] = {}

    async def policies(self) -> dict[str, RoutingPolicy]:
        return dict(self._policies)

    async def save_policy(self, tenant: str, policy: RoutingPolicy | None) -> None:
        if policy is None:
            if self._policies.pop(tenant, None) is not None:
                self._facts.add_facts([store_facts.of_removed_policy(tenant)])
        elif self._policies.get(tenant) != policy:
            self._policies[tenant] = policy
            self._facts.add_facts([store_facts.of_policy(tenant, policy)])

    async def rate(self, feedback: Feedback) -> None:
        task = await self._journal.get(feedback.task_id, tenant=feedback.tenant)
        if not task.status.ended:
            raise Conflict(f"{feedback.task_id} has not ended yet; rate it afterwards.", retry_after_s=1.0)
        self._feedback[feedback.task_id] = Feedback.model_validate_json(as_json(feedback))
        self._facts.add_facts([store_facts.of_feedback(feedback)])

    async def feedback(self, task_id: str, *, tenant: str) -> Feedback | None:
        found = self._feedback.get(task_id)
        return found if found and found.tenant == tenant else None

    async def examples(self, *, since: datetime, limit: int, tenant: str | None = None) -> list[Example]:
        tasks = self._journal.ended(since=since, tenant=tenant)
        made = [await self._example(task) for task in tasks]
        return list(islice((example for example in made if example), limit))

    async def rated(self, *, since: datetime, limit: int) -> list[Example]:
        found = [said for said in self._feedback.values() if said.at >= since]
        found.sort(key=lambda said: (said.at, said.task_id), reverse=True)
        made = [await self._example(await self._journal.get(said.task_id)) for said in found[:limit]]
        return [example for example in made if example]

    async def add_model(self, kind: ModelKind, content: bytes, *, card: dict[str, Any], digest: str) -> ModelRecord:
        same = [record for record in self._of(kind) if record.digest == digest]
        if same:
            return same[0]
        record = ModelRecord(
            kind=kind,
            version=max((known.version for known in self._of(kind)), default=0) + 1,
            digest=digest,
            card=card,
            state="candidate",
            created_at=self._clock(),
        )
        record = ModelRecord.model_validate_json(as_json(record))
        self._files[kind, record.version] = content
        self._facts.add_facts([store_facts.of_added_model(kind, record.version, digest)])
        return self._keep(record)

    async def models(self, *, kind: ModelKind | None = None) -> Sequence[ModelRecord]:
        found = [record for record in self._records.values() if kind in (None, record.kind)]
        return sorted(found, key=lambda record: (record.created_at, record.version), reverse=True)

    async def live(self) -> Sequence[ModelRecord]:
        return [record for record in await self.models() if record.state == "live"]

    async def model_file(self, kind: ModelKind, version: int) -> bytes:
        self._known(kind, version)
        return self._files[kind, version]

    async def promote(self, kind: ModelKind, version: int) -> ModelRecord:
        record = self._known(kind, version)
        if record.state == "live":
            return record
        before = self._live(kind)
        predecessor = before[0].version if before else None
        self._facts.add_facts([store_facts.of_promotion(kind, version, predecessor)])
        for other in before:
            self._keep(other.model_copy(update={"state": "retired"}))
        return self._keep(record.model_copy(update={"state": "live", "promoted_at": self._clock()}))

    async def roll_back(self, kind: ModelKind) -> ModelRecord | None:
        live = self._live(kind)
        for record in live:
            self._keep(record.model_copy(update={"state": "candidate", "promoted_at": None}))
        before = [record for record in self._of(kind) if record.state == "retired" and record.promoted_at]
        last = max(before, key=lambda record: (record.promoted_at, record.version)) if live and before else None
        if live:
            successor = last.version if last is not None else None
            self._facts.add_facts([store_facts.of_roll_back(kind, live[0].version, successor)])
        if last is None:
            return None
        return self._keep(last.model_copy(update={"state": "live"}))

    async def _example(self, task: Task) -> Example | None:
        if task.outcome is None or task.finished_at is None:
            return None
        steps = await self._journal.steps(task.id)
        routes = [step for step in steps if step.kind == "route"]
        return example_of(
            task_id=task.id,
            tenant=task.tenant,
            request=as_json(task.request),
            outcome=task.outcome,
            route=Route.model_validate(routes[-1].payload) if routes else None,
            feedback=self._feedback.get(task.id),
            tool_errors=sum(step.kind == "tool_result" and bool(step.payload.get("is_error")) for step in steps),
            created_at=task.created_at,
            finished_at=task.finished_at,
        )

    def _known(self, kind: ModelKind, version: int) -> ModelRecord:
        record = self._records.get((kind, version))
        if record is None:
            raise NotFound(f"There is no router model {kind} {version}.")
        return record

    def _of(self, kind: ModelKind) -> list[ModelRecord]:
        return [record for record in self._records.values() if record.kind == kind]

    def _live(self, kind: ModelKind) -> list[ModelRecord]:
        return [record for record in self._of(kind) if record.state == "live"]

    def _keep(self, record: ModelRecord) -> ModelRecord:
        self._records[record.kind, record.version] = record
        return record
