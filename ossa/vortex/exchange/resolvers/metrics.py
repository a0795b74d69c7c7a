"""`{METRICS:metrics:SCOPE:NAME}`: a number that was measured, such as `{METRICS:metrics:intelligence:queue_depth}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.vortex.exchange.call import ResolveCall


class MetricReader(Protocol):
    async def value(self, name: str, *, scope: str, tenant: str) -> float | None:
        """The latest, as far as the tenant may see it; None when there is none. Raises `StoreUnavailable`."""


class FakeMetrics:
    """Numbers in the process, for tests and trials. One set without a tenant is everybody's."""

    def __init__(self) -> None:
        self._values: dict[tuple[str | None, str, str], float] = {}
        self._up = True

    def measure(self, name: str, value: float, *, scope: str, tenant: str | None = None) -> None:
        self._values[tenant, scope, name] = value

    def go_down(self) -> None:
        """From now on `value` raises `StoreUnavailable`."""
        self._up = False

    def come_back(self) -> None:
        self._up = True

    async def value(self, name: str, *, scope: str, tenant: str) -> float | None:
        if not self._up:
            raise StoreUnavailable("The metrics were told to be down.", retry_after_s=1.0)
        return self._values.get((tenant, scope, name), self._values.get((None, scope, name)))


@dataclass(frozen=True, slots=True)
class MetricsResolver:
    metrics: MetricReader

    async def __call__(self, call: ResolveCall) -> str:
        """Without an exponent where six digits do. Raises `NotFound`, `StoreUnavailable`."""
        wanted = call.placeholder
        value = await self.metrics.value(wanted.id, scope=wanted.scope, tenant=call.tenant)
        if value is None:
            raise NotFound(f"there is no number {wanted.id} of {wanted.scope}")
        whole = abs(value) < 1e15 and value == int(value)
        return str(int(value)) if whole else f"{value:.6g}"
