"""The predictor forecasts from what the store kept, goes on after its death, and says what stands in its way."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from ossa.contracts.scaling import HORIZONS_S, PoolSample
from ossa.scaling.predictor import PredictorService
from ossa.testing.stores import MemoryStores

START = datetime(2026, 3, 2, tzinfo=UTC)
POOLS = ("foundation", "security")
KEPT = 45
"""Minutes in the store before the predictor starts: three times the longest horizon."""


def _samples(minutes: range, *, pools: tuple[str, ...] = POOLS) -> list[PoolSample]:
    """Up and down each hour, between 5 and 15 turns."""
    return [
        PoolSample(
            pool=pool,
            at=START + timedelta(minutes=minute, seconds=10 * tenth),
            running=10 + 5 * math.sin(2 * math.pi * minute / 60),
        )
        for minute in minutes
        for tenth in range(1, 7)
        for pool in pools
    ]


class _Bench:
    def __init__(self) -> None:
        self.stores = MemoryStores()
        self.now = START
        self.service = self.make()

    def make(self) -> PredictorService:
        return PredictorService(self.stores, clock=lambda: self.now)

    async def minute(self, number: int, pools: tuple[str, ...] = POOLS) -> list[PoolSample]:
        self.now = START + timedelta(minutes=number + 1)
        samples = _samples(range(number, number + 1), pools=pools)
        await self.stores.scaling.add_samples(samples)
        return samples


@pytest.fixture
async def bench() -> _Bench:
    made = _Bench()
    await made.stores.scaling.add_samples(_samples(range(KEPT)))
    return made


async def test_the_first_look_forecasts_from_what_the_store_kept(bench: _Bench) -> None:
    said = await bench.service.predict(await bench.minute(KEPT))
    assert {(one.pool, one.horizon_s) for one in said.forecasts} == {(p, h) for p in POOLS for h in HORIZONS_S}
    for one in said.forecasts:
        levels = [one.quantiles[level] for level in sorted(one.quantiles)]
        assert levels == sorted(levels)
        assert 3 < one.quantiles[0.5] < 17
    assert said.trouble == ""
    assert said.model == "simple"


async def test_errors_are_published_a_pool_and_horizon(bench: _Bench) -> None:
    for number in range(KEPT, KEPT + 22):
        said = await bench.service.predict(await bench.minute(number))
    known = {(one.pool, one.horizon_s): one for one in said.errors}
    assert known.keys() == {(p, h) for p in POOLS for h in HORIZONS_S}
    assert known["security", 60].trusted
    assert known["security", 60].wape is not None and known["security", 60].wape < 0.3


async def test_a_predictor_that_died_goes_on_from_the_store(bench: _Bench) -> None:
    before = await bench.service.predict(await bench.minute(KEPT))
    bench.service = bench.make()
    after = await bench.service.predict(await bench.minute(KEPT + 1))
    assert after.forecasts[0].at == before.forecasts[0].at + timedelta(minutes=1)
    assert all(one.trusted for one in after.forecasts if one.horizon_s == 60)


async def test_without_its_store_it_says_so_and_forecasts_when_it_is_back(bench: _Bench) -> None:
    samples = await bench.minute(KEPT)
    bench.stores.go_down()
    said = await bench.service.predict(samples)
    assert said.forecasts == ()
    assert said.trouble
    bench.stores.come_back()
    assert (await bench.service.predict(await bench.minute(KEPT + 1))).forecasts


async def test_a_store_that_leaves_later_stops_no_forecast(bench: _Bench) -> None:
    await bench.service.predict(await bench.minute(KEPT))
    samples = await bench.minute(KEPT + 1)
    bench.stores.go_down()
    said = await bench.service.predict(samples)
    assert said.forecasts and said.trouble


async def test_a_pool_that_is_new_is_forecast_too(bench: _Bench) -> None:
    await bench.service.predict(await bench.minute(KEPT))
    for number in (KEPT + 1, KEPT + 2):
        said = await bench.service.predict(await bench.minute(number, (*POOLS, "community")))
    assert {one.pool for one in said.forecasts} == {*POOLS, "community"}


async def test_a_damaged_model_in_the_registry_leaves_the_one_before(bench: _Bench) -> None:
    record = await bench.stores.routing.add_model("forecast", b"no model", card={}, digest="d")
    await bench.stores.routing.promote("forecast", record.version)
    said = await bench.service.predict(await bench.minute(KEPT))
    assert said.forecasts and said.model == "simple"
    assert "forecast model 1" in said.trouble
