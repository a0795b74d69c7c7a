"""The resolvers that come with the exchange. What they read is handed in."""

from __future__ import annotations

from collections.abc import Iterator

from ossa.vortex.exchange.placeholder import PlaceholderType
from ossa.vortex.exchange.registry import Registration, ResolverRegistry
from ossa.vortex.exchange.resolvers import agent, pool, task, time
from ossa.vortex.exchange.resolvers.agent import AgentResolver
from ossa.vortex.exchange.resolvers.fleet import SnapshotReader
from ossa.vortex.exchange.resolvers.memory import FakeMemory, MemoryReader, MemoryResolver
from ossa.vortex.exchange.resolvers.metrics import FakeMetrics, MetricReader, MetricsResolver
from ossa.vortex.exchange.resolvers.pool import PoolResolver
from ossa.vortex.exchange.resolvers.task import TaskReader, TaskResolver
from ossa.vortex.exchange.resolvers.time import resolve_time

__all__ = [
    "AgentResolver",
    "FakeMemory",
    "FakeMetrics",
    "MemoryReader",
    "MemoryResolver",
    "MetricReader",
    "MetricsResolver",
    "PoolResolver",
    "SnapshotReader",
    "TaskReader",
    "TaskResolver",
    "resolve_time",
    "standard_registry",
]


def standard_registry(
    *,
    fleet: SnapshotReader | None = None,
    tasks: TaskReader | None = None,
    memory: MemoryReader | None = None,
    metrics: MetricReader | None = None,
) -> ResolverRegistry:
    """Time, and whatever there is a reader for. Their values are always text: none may hold placeholders."""
    return ResolverRegistry(_standard(fleet, tasks, memory, metrics))


def _standard(
    fleet: SnapshotReader | None,
    tasks: TaskReader | None,
    memory: MemoryReader | None,
    metrics: MetricReader | None,
) -> Iterator[Registration]:
    yield Registration("time", tuple(time.FIELDS), resolve_time)
    if fleet is not None:
        yield Registration("agent", tuple(agent.FIELDS), AgentResolver(fleet))
        yield Registration("pool", tuple(pool.FIELDS), PoolResolver(fleet))
    if tasks is not None:
        yield Registration("task", tuple(task.FIELDS), TaskResolver(tasks))
    if memory is not None:
        yield Registration("memory", (PlaceholderType.CONTEXT, PlaceholderType.DATA), MemoryResolver(memory))
    if metrics is not None:
        yield Registration("metrics", (PlaceholderType.METRICS,), MetricsResolver(metrics))
