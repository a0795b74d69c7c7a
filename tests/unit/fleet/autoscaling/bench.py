"""A scaler over a fleet that is only numbers, stepped by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from ossa.contracts.configuration import ScalingSettings
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.fleet import PoolInfo
from ossa.contracts.scaling import (
    QUANTILES,
    SAMPLE_S,
    Forecast,
    PoolSample,
    PoolTraffic,
    Predicted,
    ScaleDecision,
    ScaleRules,
    TrafficReport,
)
from ossa.fleet.autoscaling.scaler import PoolUsage, Scaler
from ossa.testing.cluster import NoMeters
from ossa.testing.stores import MemoryStores

START = 1_800_000_000.0
RULES = ScaleRules(fleet_floor=0, block_agents=4)


class NumbersFleet:
    """What is asked for is there at the next look. `down`: nothing can be written."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self.standby = 0
        self.borrowed: dict[str, int] = {}
        self.cpu: float | None = 0.4
        self.down = False
        self.requested: list[int] = []

    def pools(self) -> Sequence[PoolInfo]:
        return [
            PoolInfo(name=name, desired=size, ready=size + self.borrowed.get(name, 0))
            for name, size in self.sizes.items()
        ]

    def slots(self, pool: str) -> float:
        return 1.0

    async def usage(self) -> Mapping[str, PoolUsage]:
        return {name: PoolUsage(cpu=self.cpu) for name in self.sizes}

    async def nodes(self, agents_per_node: int) -> int:
        return 12

    async def resize(self, sizes: Mapping[str, int], standby: int, borrowed: Mapping[str, int]) -> None:
        if self.down:
            raise StoreUnavailable("the store is away")
        self.sizes.update(sizes)
        self.standby = standby
        self.borrowed = dict(borrowed)

    async def request_nodes(self, agents: int) -> None:
        self.requested.append(agents)


class Saying:
    """A predictor that says one thing, or raises it. `far`: what it says of the last horizon, where that differs."""

    def __init__(self, median: float = 0.0, *, far: float | None = None, error: Exception | None = None) -> None:
        self.median = median
        self.far = far
        self.error = error

    async def predict(self, samples: Sequence[PoolSample]) -> Predicted:
        if self.error is not None:
            raise self.error
        far = self.median if self.far is None else self.far
        return Predicted(
            forecasts=tuple(
                Forecast(
                    pool=one.pool,
                    at=one.at,
                    horizon_s=horizon,
                    quantiles=dict.fromkeys(QUANTILES, median),
                    model="said",
                )
                for one in samples
                for horizon, median in ((60, self.median), (300, self.median), (900, far))
            ),
            model="said",
        )

    async def close(self) -> None: ...


class Bench:
    """`turns` at once in the pool `security` are reported before each look."""

    def __init__(
        self, mode: str = "on", predictor: Saying | None = None, rules: ScaleRules = RULES, size: int = 8
    ) -> None:
        self.fleet = NumbersFleet({"security": size})
        self.stores = MemoryStores()
        self.predictor = predictor
        self.settings = ScalingSettings.model_validate({"mode": mode})
        self.rules = rules
        self.wall, self.ticks = START, 0.0
        self.turns = 3.0
        self.queued = 0
        self.silent = False
        self.scaler = self.make()

    def make(self) -> Scaler:
        return Scaler(
            self.fleet,
            self.stores.scaling,
            self.settings,
            self.rules,
            self.predictor,
            NoMeters(),
            now=lambda: self.wall,
            monotonic=lambda: self.ticks,
        )

    async def restart(self) -> None:
        self.scaler = self.make()
        await self.scaler.open()

    async def tick(self) -> ScaleDecision:
        self.wall += SAMPLE_S
        self.ticks += SAMPLE_S
        if not self.silent:
            pool = PoolTraffic(pool="security", running_s=self.turns * SAMPLE_S, queued=self.queued)
            self.scaler.report(TrafficReport(replica="a", seconds=SAMPLE_S, pools=(pool,)))
        decision = await self.scaler.tick()
        assert decision is not None
        return decision

    async def looks(self, count: int) -> list[ScaleDecision]:
        return [await self.tick() for _ in range(count)]

    @property
    def size(self) -> int:
        return self.fleet.sizes["security"]

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall, UTC)

    def reasons(self) -> str:
        decision = self.scaler.status().decision
        return "; ".join(reason for pool in decision.pools for reason in pool.reasons) if decision else ""
