"""From things to do to commands, and from answers to outcomes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ossa.contracts.cache import CacheAct, CacheDrop, CacheGet, CacheOutcome
from ossa.stores.redis.failure import unavailable
from ossa.stores.redis.naming import entry
from ossa.stores.redis.server import Command


@dataclass(slots=True)
class Step:
    """One command, and which of the acts it does. `answer` is None until there is one."""

    command: Command
    acts: list[int]
    tenant: str
    answer: Any = field(default=None)


def plan(acts: Sequence[CacheAct], room: str, *, together: Callable[[str], Hashable]) -> list[Step]:
    """All reads that may stand in one command first, in one; then the writes, in their order.

    Args:
        together: entries of tenants for which it gives the same may be in one command.
    """
    reads: dict[Hashable, list[int]] = {}
    writes: list[Step] = []
    for number, act in enumerate(acts):
        if isinstance(act, CacheGet):
            reads.setdefault(together(act.tenant), []).append(number)
        elif isinstance(act, CacheDrop):
            writes.append(Step(("DEL", entry(act.tenant, room, act.key)), [number], act.tenant))
        else:
            command = ("SET", entry(act.tenant, room, act.key), act.value, "PX", act.lifetime_ms)
            writes.append(Step(command, [number], act.tenant))
    found = [
        Step(("MGET", *(entry(acts[n].tenant, room, acts[n].key) for n in numbers)), numbers, acts[numbers[0]].tenant)
        for numbers in reads.values()
    ]
    return found + writes


def outcomes(steps: Iterable[Step], count: int) -> list[CacheOutcome]:
    """In the order of the acts. Raises `StoreUnavailable` when no step was done."""
    found: list[CacheOutcome] = [None] * count
    failed, done = None, False
    for step in steps:
        if isinstance(step.answer, BaseException):
            failed = unavailable(step.answer)
            for number in step.acts:
                found[number] = failed
            continue
        done = True
        if step.command[0] == "MGET":
            for number, value in zip(step.acts, step.answer, strict=True):
                found[number] = value
    if failed is not None and not done:
        raise failed
    return found
