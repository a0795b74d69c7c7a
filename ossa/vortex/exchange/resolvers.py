"""The resolvers that come with the exchange. What they read is handed in.

agent    STATE: state, slots
         CONTEXT: description, capabilities, card (who it is, in a sentence)
         DATA: pool, manifest, version, tier
pool     STATE: desired, ready, starting, draining, blocks, pending
         DATA: manifests
task     STATE: status, attempts, steps, agent, pool, finish_reason, error
         CONTEXT: request (its last user message), answer
         DATA: tool_results (JSON lines)
         METRICS: tokens, prompt_tokens, completion_tokens, model_calls, cost_usd
memory   CONTEXT, DATA: the item of that scope and key
metrics  METRICS: the number of that name in that scope
time     TEMPORAL: now (ISO 8601, seconds), date, time, weekday, week (ISO), unix; the scope is `utc` or a zone's name
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from operator import attrgetter
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

import orjson

from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import POOL_ALIASES, AgentInfo, FleetSnapshot, PoolInfo
from ossa.contracts.task import Message, Step, Task, Usage
from ossa.vortex.exchange.exchange import Registration, ResolveCall, Resolver, ResolverRegistry
from ossa.vortex.exchange.template import Placeholder, PlaceholderType

T = TypeVar("T")

Fields = Mapping[PlaceholderType, Mapping[str, Callable[[T], str]]]
"""The values of a thing. Each stands under one type, so that nobody keeps it longer than it is true."""

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class SnapshotReader(Protocol):
    """The part of `ossa.contracts.fleet.FleetPort` that is needed."""

    def snapshot(self) -> FleetSnapshot:
        """Returns the latest snapshot; never blocks. Raises `NotReady` before the first."""


class TaskReader(Protocol):
    """The part of `ossa.contracts.stores.Journal` that is needed."""

    async def get(self, task_id: str, *, tenant: str | None = None) -> Task:
        """Raises `NotFound`, also when the task is another tenant's."""

    async def steps(self, task_id: str, *, tenant: str | None = None, after: int = -1) -> list[Step]: ...


class MemoryReader(Protocol):
    async def recall(self, key: str, *, scope: str, tenant: str) -> str | None:
        """Returns the tenant's text under the key; None when there is nothing. Raises `StoreUnavailable`."""


class MetricReader(Protocol):
    async def value(self, name: str, *, scope: str, tenant: str) -> float | None:
        """The latest, as far as the tenant may see it; None when there is none. Raises `StoreUnavailable`."""


def standard_registry(
    *,
    fleet: SnapshotReader | None = None,
    tasks: TaskReader | None = None,
    memory: MemoryReader | None = None,
    metrics: MetricReader | None = None,
) -> ResolverRegistry:
    """Time, and whatever there is a reader for."""

    def registrations() -> Iterator[Registration]:
        yield Registration("time", tuple(TIME_FIELDS), resolve_time)
        if fleet is not None:
            yield Registration("agent", tuple(AGENT_FIELDS), agent_resolver(fleet))
            yield Registration("pool", tuple(POOL_FIELDS), pool_resolver(fleet))
        if tasks is not None:
            yield Registration("task", tuple(TASK_FIELDS), task_resolver(tasks))
        if memory is not None:
            yield Registration("memory", (PlaceholderType.CONTEXT, PlaceholderType.DATA), memory_resolver(memory))
        if metrics is not None:
            yield Registration("metrics", (PlaceholderType.METRICS,), metrics_resolver(metrics))

    return ResolverRegistry(registrations())


def _read(fields: Fields[T], placeholder: Placeholder, thing: T) -> str:
    """Raises `NotFound` saying which values there are."""
    readers = fields[placeholder.type]
    reader = readers.get(placeholder.id)
    if reader is None:
        raise NotFound(f"there is no value of this name; there is {', '.join(sorted(readers))}")
    return reader(thing)


# Agents and pools, read from the fleet's latest snapshot. Addresses and process ids are not for prompts.


def _card(agent: AgentInfo) -> str:
    able = f" Capabilities: {', '.join(agent.capabilities)}." if agent.capabilities else ""
    return f"{agent.agent_id} ({agent.manifest} {agent.version}, pool {agent.pool}). {agent.description}{able}".strip()


def _attributes(*names: str, **paths: str) -> Mapping[str, Callable[[Any], str]]:
    """Reads attributes of the thing: by their own names, or under a name by a dotted path."""

    def reader(path: str) -> Callable[[Any], str]:
        read = attrgetter(path)
        return lambda thing: str(read(thing))

    return {name: reader(path) for name, path in {**dict(zip(names, names, strict=True)), **paths}.items()}


AGENT_FIELDS: Fields[AgentInfo] = {
    PlaceholderType.STATE: _attributes("state", "slots"),
    PlaceholderType.CONTEXT: {
        **_attributes("description"),
        "capabilities": lambda agent: ", ".join(agent.capabilities),
        "card": _card,
    },
    PlaceholderType.DATA: _attributes("pool", "manifest", "version", "tier"),
}

POOL_FIELDS: Fields[PoolInfo] = {
    PlaceholderType.STATE: _attributes("desired", "ready", "starting", "draining", "blocks", "pending"),
    PlaceholderType.DATA: {"manifests": lambda pool: ", ".join(pool.manifests)},
}


def agent_resolver(fleet: SnapshotReader) -> Resolver:
    """Another tenant's agent is as absent as one that never was."""

    async def resolve(call: ResolveCall) -> str:
        for agent in fleet.snapshot().agents:
            if agent.agent_id == call.placeholder.scope and agent.tenant in (None, call.tenant):
                return _read(AGENT_FIELDS, call.placeholder, agent)
        raise NotFound(f"there is no agent {call.placeholder.scope}")

    return resolve


def pool_resolver(fleet: SnapshotReader) -> Resolver:
    """Pools are the operator's: every tenant sees their numbers."""

    async def resolve(call: ResolveCall) -> str:
        name = POOL_ALIASES.get(call.placeholder.scope, call.placeholder.scope)
        for pool in fleet.snapshot().pools:
            if pool.name == name:
                return _read(POOL_FIELDS, call.placeholder, pool)
        raise NotFound(f"there is no pool {name}")

    return resolve


# Tasks, read from the journal.


@dataclass(frozen=True, slots=True)
class TaskStory:
    task: Task
    steps: list[Step]

    @property
    def usage(self) -> Usage:
        """The outcome's, or the sum of the steps so far while there is no outcome."""
        if self.task.outcome is not None:
            return self.task.outcome.usage
        total = Usage()
        for step in self.steps:
            total = total.plus(step.usage)
        return total

    @property
    def request(self) -> str:
        messages = reversed(self.task.request.messages)
        return next((_text(message) for message in messages if message.get("role") == "user"), "")

    @property
    def answer(self) -> str:
        outcome = self.task.outcome
        return _text(outcome.message) if outcome is not None and outcome.message is not None else ""

    @property
    def agent(self) -> str:
        outcome = self.task.outcome
        if outcome is not None and outcome.agent_id:
            return outcome.agent_id
        return self.steps[-1].agent_id if self.steps else ""

    @property
    def error(self) -> str:
        error = self.task.outcome.error if self.task.outcome is not None else None
        return f"{error.code}: {error.message}" if error is not None else ""

    @property
    def tool_results(self) -> str:
        keys = ("call_id", "name", "content", "is_error")
        results = [step.payload for step in self.steps if step.kind == "tool_result"]
        return "\n".join(orjson.dumps({key: result.get(key) for key in keys}).decode() for result in results)


def _text(message: Message) -> str:
    content: Any = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


TASK_FIELDS: Fields[TaskStory] = {
    PlaceholderType.STATE: {
        **_attributes("agent", "error", status="task.status", attempts="task.attempts"),
        "steps": lambda story: str(len(story.steps)),
        "pool": lambda story: (story.task.outcome.pool or "") if story.task.outcome else "",
        "finish_reason": lambda story: (story.task.outcome.finish_reason or "") if story.task.outcome else "",
    },
    PlaceholderType.CONTEXT: _attributes("request", "answer"),
    PlaceholderType.DATA: _attributes("tool_results"),
    PlaceholderType.METRICS: {
        **_attributes(
            tokens="usage.total_tokens",
            prompt_tokens="usage.prompt_tokens",
            completion_tokens="usage.completion_tokens",
            model_calls="usage.model_calls",
        ),
        "cost_usd": lambda story: f"{story.usage.cost_usd:.6f}",
    },
}


def task_resolver(journal: TaskReader) -> Resolver:
    """Another tenant's task is as absent as one that never was."""

    async def resolve(call: ResolveCall) -> str:
        task = await journal.get(call.placeholder.scope, tenant=call.tenant)
        steps = await journal.steps(task.id, tenant=call.tenant)
        return _read(TASK_FIELDS, call.placeholder, TaskStory(task, steps))

    return resolve


# What was remembered, what was measured, and the time.


def memory_resolver(memory: MemoryReader) -> Resolver:
    async def resolve(call: ResolveCall) -> str:
        placeholder = call.placeholder
        text = await memory.recall(placeholder.id, scope=placeholder.scope, tenant=call.tenant)
        if text is None:
            raise NotFound(f"nothing is remembered under {placeholder.id} in {placeholder.scope}")
        return text

    return resolve


def metrics_resolver(metrics: MetricReader) -> Resolver:
    """Numbers are written without an exponent where six digits do."""

    async def resolve(call: ResolveCall) -> str:
        placeholder = call.placeholder
        value = await metrics.value(placeholder.id, scope=placeholder.scope, tenant=call.tenant)
        if value is None:
            raise NotFound(f"there is no number {placeholder.id} of {placeholder.scope}")
        return str(int(value)) if abs(value) < 1e15 and value == int(value) else f"{value:.6g}"

    return resolve


TIME_FIELDS: Fields[datetime] = {
    PlaceholderType.TEMPORAL: {
        "now": lambda now: now.isoformat(timespec="seconds"),
        "date": lambda now: now.date().isoformat(),
        "time": lambda now: now.time().isoformat(timespec="seconds"),
        "weekday": lambda now: _WEEKDAYS[now.weekday()],
        "week": lambda now: now.strftime("%G-W%V"),
        "unix": lambda now: str(int(now.timestamp())),
    }
}


async def resolve_time(call: ResolveCall) -> str:
    """Tells the time by the exchange's clock, at the moment of the call."""
    return _read(TIME_FIELDS, call.placeholder, call.now.astimezone(_zone(call.placeholder.scope)))


def _zone(name: str) -> tzinfo:
    if name.lower() == "utc":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise NotFound(f"there is no time zone {name}") from None
