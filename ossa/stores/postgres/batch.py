"""Journal writes, and the batch in which they go to the database together.

psycopg finds the type of a list by looking at its items, so an empty list and a full one make two different statements;
the array parameters here have one type always, and are packed in one pass.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from struct import Struct
from typing import Any

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from ossa.contracts.budgets import MOST_USD
from ossa.contracts.origin import Origin, current_origin
from ossa.contracts.task import NewTask, Outcome, Step
from ossa.stores import fact_bodies

_HEAD = Struct("!iii")
_DIMENSION = Struct("!ii")
_LENGTH = Struct("!i")
_NULL = b"\xff\xff\xff\xff"


class Texts(list["str | bytes | None"]):
    """text[]; bytes are UTF-8 already."""


class Integers(list["int | None"]):
    """integer[]"""


class BigIntegers(list[int]):
    """bigint[]"""


class Doubles(list[float]):
    """double precision[]"""


class _ArrayDumper(Dumper):
    format = Format.BINARY
    item_oid: int

    def dump(self, obj: Any) -> Buffer:
        if not obj:
            return _HEAD.pack(0, 0, self.item_oid)
        has_null = None in obj
        parts = [_HEAD.pack(1, has_null, self.item_oid), _DIMENSION.pack(len(obj), 1)]
        self.pack_items(obj, parts)
        return b"".join(parts)

    def pack_items(self, obj: Any, parts: list[bytes]) -> None:
        raise NotImplementedError


class _TextsDumper(_ArrayDumper):
    oid, item_oid = 1009, 25

    def pack_items(self, obj: Any, parts: list[bytes]) -> None:
        add, length = parts.append, _LENGTH.pack
        for item in obj:
            if item is None:
                add(_NULL)
            else:
                data = item if type(item) is bytes else item.encode()
                add(length(len(data)))
                add(data)


class _NumbersDumper(_ArrayDumper):
    item: Struct
    size: int

    def pack_items(self, obj: Any, parts: list[bytes]) -> None:
        pack, size = self.item.pack, self.size
        parts.extend([_NULL if item is None else pack(size, item) for item in obj])


class _IntegersDumper(_NumbersDumper):
    oid, item_oid, item, size = 1007, 23, Struct("!ii"), 4


class _BigIntegersDumper(_NumbersDumper):
    oid, item_oid, item, size = 1016, 20, Struct("!iq"), 8


class _DoublesDumper(_NumbersDumper):
    oid, item_oid, item, size = 1022, 701, Struct("!id"), 8


def register_arrays(context: AdaptContext) -> None:
    """Teach one connection these types."""
    adapters = context.adapters
    assert adapters is not None
    adapters.register_dumper(Texts, _TextsDumper)
    adapters.register_dumper(Integers, _IntegersDumper)
    adapters.register_dumper(BigIntegers, _BigIntegersDumper)
    adapters.register_dumper(Doubles, _DoublesDumper)


MOST_TOKENS = 10**15
"""The most that one task counts; a larger claim counts as so many, as in `ossa.counted`."""


@dataclass(slots=True, eq=False, kw_only=True)
class Write:
    """One caller's write. `done` gets the commit's time, or the caller's error.

    `repeated` is set once it may have reached the database without an answer.
    """

    task_id: str
    done: Future[datetime]
    deadline: float
    origin: Origin = field(default_factory=current_origin)
    repeated: bool = False
    tries: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class Accept(Write):
    new: NewTask
    owner: str | None
    request: bytes
    known: str | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Append(Write):
    fence: int
    steps: Sequence[Step]
    bodies: Sequence[bytes]
    agent_id: str | None


@dataclass(slots=True, eq=False, kw_only=True)
class Finish(Write):
    fence: int
    steps: Sequence[Step]
    bodies: Sequence[bytes]
    outcome: Outcome
    body: bytes
    subjects: Sequence[str]


@dataclass(slots=True, eq=False, kw_only=True)
class Release(Write):
    fence: int


@dataclass(slots=True, eq=False)
class Batch:
    """At most one write a task, which the gatherer ensures. `emits_events`: its writes are told in the fact log too."""

    writes: list[Write] = field(default_factory=list)
    emits_events: bool = False

    def __len__(self) -> int:
        return len(self.writes)

    def halves(self) -> tuple[Batch, Batch]:
        middle = len(self.writes) // 2
        return Batch(self.writes[:middle], self.emits_events), Batch(self.writes[middle:], self.emits_events)

    def params(self) -> list[object]:
        """In the order of `ossa.journal_write`."""
        accepts, appends, finishes, releases = _Accepts(), _Appends(), _Finishes(), _Releases()
        steps, usage, events = _Steps(), _Usage(), _Events()
        for write in self.writes:
            if isinstance(write, Accept):
                accepts.add(write)
            elif isinstance(write, Finish):
                finishes.add(write)
                steps.add(write)
                usage.add(write)
            elif isinstance(write, Append):
                appends.add(write)
                steps.add(write)
            elif isinstance(write, Release):
                releases.add(write)
            if self.emits_events:
                events.add(write)
        return [
            *accepts.arrays, *appends.arrays, *finishes.arrays, *releases.arrays,
            *steps.arrays, *usage.arrays, *events.arrays,
        ]  # fmt: skip


class _Accepts:
    def __init__(self) -> None:
        self.arrays = (Texts(), Texts(), Texts(), Texts(), Texts(), Texts())

    def add(self, write: Accept) -> None:
        new = write.new
        ids, tenants, keys, shas, owners, requests = self.arrays
        ids.append(new.id)
        tenants.append(new.tenant)
        keys.append(new.idempotency_key)
        shas.append(new.body_sha256)
        owners.append(write.owner)
        requests.append(write.request)


class _Appends:
    def __init__(self) -> None:
        self.arrays = (Texts(), Integers(), Integers(), Integers(), Texts())

    def add(self, write: Append) -> None:
        ids, fences, firsts, counts, agents = self.arrays
        ids.append(write.task_id)
        fences.append(write.fence)
        firsts.append(write.steps[0].seq if write.steps else None)
        counts.append(len(write.steps))
        agents.append(write.agent_id)


class _Finishes:
    def __init__(self) -> None:
        self.arrays = (Texts(), Integers(), Integers(), Integers(), Texts(), Texts())

    def add(self, write: Finish) -> None:
        ids, fences, firsts, counts, statuses, outcomes = self.arrays
        ids.append(write.task_id)
        fences.append(write.fence)
        firsts.append(write.steps[0].seq if write.steps else None)
        counts.append(len(write.steps))
        statuses.append(write.outcome.status.value)
        outcomes.append(write.body)


class _Releases:
    def __init__(self) -> None:
        self.arrays = (Texts(), Integers())

    def add(self, write: Release) -> None:
        ids, fences = self.arrays
        ids.append(write.task_id)
        fences.append(write.fence)


class _Steps:
    def __init__(self) -> None:
        self.arrays = (Texts(), Integers(), Integers(), Texts(), Texts())

    def add(self, write: Append | Finish) -> None:
        tasks, seqs, fences, kinds, bodies = self.arrays
        for step, body in zip(write.steps, write.bodies, strict=True):
            tasks.append(write.task_id)
            seqs.append(step.seq)
            fences.append(write.fence)
            kinds.append(step.kind)
            bodies.append(body)


class _Usage:
    def __init__(self) -> None:
        self.arrays = (Texts(), Texts(), BigIntegers(), Doubles())

    def add(self, write: Finish) -> None:
        tasks, subjects, tokens, costs = self.arrays
        used = write.outcome.usage
        for subject in write.subjects:
            tasks.append(write.task_id)
            subjects.append(subject)
            tokens.append(max(0, min(used.prompt_tokens + used.completion_tokens, MOST_TOKENS)))
            costs.append(min(used.cost_usd, MOST_USD) if used.cost_usd > 0 else 0.0)


class _Events:
    """Made here and not when the write is submitted: conflict resolution may have taken steps from it since."""

    def __init__(self) -> None:
        self.arrays = (Texts(), Texts(), Texts())

    def add(self, write: Write) -> None:
        accepts, appends, finishes = self.arrays
        if isinstance(write, Accept):
            accepts.append(fact_bodies.of_accept(write.new, write.origin))
        elif isinstance(write, Append):
            appends.append(fact_bodies.of_append(write.task_id, write.steps, write.origin))
        elif isinstance(write, Finish):
            finishes.append(fact_bodies.of_finish(write.task_id, write.steps, write.outcome, write.origin))
