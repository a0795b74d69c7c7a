"""Samples, forecasts and whole fleets to decide about, drawn or made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from ossa.contracts.scaling import HORIZONS_S, QUANTILES, SAMPLE_S, Forecast, PoolBounds, PoolSample, ScaleRules
from ossa.scaling.decision import PoolState, ScalerInput, ScalerState

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
WINDOW = 31
RULES = ScaleRules(fleet_floor=0)


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def sample(agents: int, seconds: float = 0.0, **said: Any) -> PoolSample:
    values = {"pool": "security", "at": later(seconds), "agents": agents, "cpu": 0.3, "memory": 0.3, "running": 0.0}
    return PoolSample(**{**values, **said})


def steady(agents: int, seconds: float = 0.0, **said: Any) -> tuple[PoolSample, ...]:
    """A whole window in which nothing changed, until then."""
    return tuple(sample(agents, seconds - SAMPLE_S * back, **said) for back in reversed(range(WINDOW)))


def exploding(agents: int, seconds: float = 0.0) -> tuple[PoolSample, ...]:
    """Waiting turns that grow well past what the agents can hold."""
    quiet = steady(agents, seconds - 3 * SAMPLE_S)
    grown = [agents * 2 * (number + 1) for number in range(3)]
    return (
        *quiet,
        *(sample(agents, seconds - (2 - n) * SAMPLE_S, queued=q, running=agents) for n, q in enumerate(grown)),
    )


def forecast(turns: float, seconds: float = 0.0, *, upper: float | None = None, **said: Any) -> tuple[Forecast, ...]:
    """All horizons expect the same; quantiles over the median are `upper`."""
    above = turns if upper is None else upper
    quantiles = {level: turns if level <= 0.5 else above for level in QUANTILES}
    values = {"pool": "security", "at": later(seconds), "model": "test", "quantiles": quantiles}
    return tuple(Forecast(**{**values, "horizon_s": horizon, **said}) for horizon in HORIZONS_S)


def inputs(agents: int, samples: tuple[PoolSample, ...] = (), seconds: float = 0.0, **said: Any) -> ScalerInput:
    return ScalerInput(now=later(seconds), sizes={"security": agents}, samples=samples, **said)


def broken(value: PoolSample | Forecast, **said: Any) -> Any:
    """The same with values that its checks would not let through, as from a faulty producer."""
    return type(value).model_construct(**{**dict(value), **said})


shares = st.one_of(st.none(), st.floats(0, 3), st.just(math.nan), st.just(math.inf))
counts = st.integers(0, 400)
times = st.floats(-7_200, 7_200)


@st.composite
def samples_of(draw: st.DrawFn, pool: str) -> list[PoolSample]:
    """Anything between a sound window and rubbish."""
    agents, running, cpu, grows = draw(counts), draw(st.floats(0, 500)), draw(shares), draw(st.integers(0, 50))
    rows = draw(st.sampled_from([0, 1, 3, 20, WINDOW]))
    shift = draw(st.sampled_from([0.0, 0.0, 0.0, 20.0, -120.0, 3_600.0]))
    faulty = draw(st.integers(0, 2 * WINDOW))
    last = {
        "starting": draw(st.sampled_from([0, 0, 2])),
        "memory": draw(shares),
        "queue_wait_s": draw(shares),
        "error_rate": draw(shares),
        "slots_per_agent": draw(st.sampled_from([1.0, 4.0])),
    }
    first = PoolSample(pool=pool, at=START, memory=0.4, agents=agents)
    return [
        broken(
            first,
            at=later(shift - SAMPLE_S * back),
            running=math.nan if back == faulty else running,
            queued=grows * (rows - back),
            cpu=cpu,
            **(last if back == 0 else {}),
        )
        for back in reversed(range(rows))
    ]


@st.composite
def forecasts_of(draw: st.DrawFn, pool: str) -> list[Forecast]:
    """Near, constant, a hundredfold, negative, not a number, old or switched off."""
    value = draw(st.one_of(st.floats(0, 500), st.floats(1e4, 1e6), st.sampled_from([math.nan, math.inf, -1.0])))
    first = Forecast(pool=pool, at=START, horizon_s=60, quantiles={}, model="drawn")
    at = later(draw(st.sampled_from([0.0, 0.0, 0.0, -30.0, -9_000.0])))
    trusted = bool(draw(st.integers(0, 9)))
    empty = draw(st.integers(0, 9)) == 0
    return [
        broken(
            first,
            at=at,
            horizon_s=horizon,
            quantiles={} if empty else {level: value * (0.5 + level) for level in QUANTILES},
            trusted=trusted,
        )
        for horizon in HORIZONS_S[: draw(st.integers(0, 3))]
    ]


@st.composite
def rules(draw: st.DrawFn, pools: list[str]) -> ScaleRules:
    floor = draw(st.integers(0, 60))
    return ScaleRules(
        fleet_floor=floor,
        fleet_ceiling=draw(st.integers(floor, 300)),
        block_agents=draw(st.integers(1, 8)),
        standby=draw(st.integers(0, 5)),
        pools={
            pool: PoolBounds(floor=draw(st.integers(0, 20)), ceiling=draw(st.integers(20, 300)))
            for pool in pools
            if draw(st.booleans())
        },
    )


POOL_NAMES = ["foundation", "security", "community"]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[ScalerInput, ScalerState, ScaleRules]:
    """A fleet of up to three pools, in any state, with any input."""
    pools = POOL_NAMES[: draw(st.integers(1, 3))]
    sizes: Mapping[str, int] = {pool: draw(st.integers(0, 120)) for pool in pools}
    state = ScalerState(
        at=later(draw(st.sampled_from([-10.0, -10.0, 5_000.0, -90_000.0]))),
        pools={
            pool: PoolState(
                cooldown_s=draw(st.sampled_from([0.0, 0.0, 5.0, 250.0])),
                watch_s=draw(st.sampled_from([0.0, 0.0, 400.0])),
                armed=draw(st.booleans()),
                borrowed_standbys=draw(st.sampled_from([0, 0, 3])),
            )
            for pool in pools
        },
    )
    seen = ScalerInput(
        now=START,
        sizes=sizes,
        samples=[one for pool in pools for one in draw(samples_of(pool))],
        forecasts=[one for pool in pools for one in draw(forecasts_of(pool))],
        alerts=frozenset(draw(st.sets(st.sampled_from([*pools, "*"]), max_size=1)))
        if draw(st.booleans())
        else frozenset(),
        nodes=draw(st.one_of(st.none(), st.integers(0, 12))),
    )
    return seen, state, draw(rules(pools))
