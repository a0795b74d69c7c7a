"""What placeholders read: numbers of this replica, and `{CONTEXT:memory:SCOPE:KEY}` from the memory."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from ossa.contracts.errors import NotFound
from ossa.contracts.memory import Memory

EVERYTHING = "all"
SHOWN = frozenset(
    {"ossa_gateway_running_tasks", "ossa_gateway_open_tasks", "ossa_gateway_agents", "ossa_gateway_tasks_total"}
)
"""The operator's own numbers, of which a prompt of any tenant may speak."""


class RegistryMetrics:
    """`MetricReader` over a Prometheus registry: the sum of a series over its labels.

    The scope is a pool's name, or `all`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def value(self, name: str, *, scope: str, tenant: str) -> float | None:
        if name not in SHOWN:
            return None
        found = [
            sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == name and (scope == EVERYTHING or sample.labels.get("pool") == scope)
        ]
        return sum(found) if found else None


class RememberedText:
    """`ossa.vortex.exchange.resolvers.MemoryReader`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def recall(self, key: str, *, scope: str, tenant: str) -> str | None:
        try:
            found = await self._memory.recall(f"{scope}:{key}", tenant=tenant)
        except NotFound:
            return None
        return found.content
