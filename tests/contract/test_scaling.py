"""What `ossa.contracts.scaling.ScalingStore` promises, of every store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.scaling import QUANTILES, Forecast, PoolDecision, PoolSample, ScaleDecision, ScalingStore
from ossa.contracts.stores import Stores
from ossa.stores.postgres import PostgresStores
from ossa.stores.postgres.fleet import READ_AT_ONCE, WRITTEN_AT_ONCE
from ossa.testing.stores import MemoryStores

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
EVERY_FIELD = PoolSample(
    pool="security",
    at=NOW,
    arrivals=17,
    running=3.1415926535,
    queued=2,
    queue_wait_s=0.1,
    latency_p99_s=12.000000001,
    error_rate=1 / 3,
    cpu=1.25,
    memory=0.7,
    agents=9,
    starting=4,
    draining=2,
    slots_per_agent=1.5,
)


@pytest.fixture
def scaling(stores: Stores) -> ScalingStore:
    return stores.scaling


@pytest.fixture
def away(kind: str) -> ScalingStore:
    """One whose store does not answer."""
    if kind == "memory":
        stores = MemoryStores()
        stores.go_down()
        return stores.scaling
    nobody = Database(connect_timeout_s=0.2, statement_timeout_s=0.2)
    return PostgresStores(nobody, "postgresql://127.0.0.1:1/nobody").scaling


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def sample(seconds: float = 0.0, pool: str = "security", **more: Any) -> PoolSample:
    return PoolSample(pool=pool, at=at(seconds), **more)


def decision(seconds: float = 0.0, **more: Any) -> ScaleDecision:
    return ScaleDecision(at=at(seconds), **more)


# samples


@pytest.mark.parametrize("given", [EVERY_FIELD, PoolSample(pool="security", at=NOW)], ids=["all known", "none known"])
async def test_every_field_comes_back_as_it_was(scaling: ScalingStore, given: PoolSample) -> None:
    await scaling.add_samples([given])
    assert await scaling.samples(since=LONG_AGO) == [given]


async def test_zero_is_not_unknown(scaling: ScalingStore) -> None:
    given = sample(queue_wait_s=0.0, latency_p99_s=None, error_rate=0.0, cpu=0.0, memory=None)
    await scaling.add_samples([given])
    (found,) = await scaling.samples(since=LONG_AGO)
    assert (found.queue_wait_s, found.latency_p99_s, found.error_rate) == (0.0, None, 0.0)
    assert (found.cpu, found.memory) == (0.0, None)


async def test_a_time_is_an_instant_in_whatever_zone(scaling: ScalingStore) -> None:
    there = NOW.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    await scaling.add_samples([sample().model_copy(update={"at": there}), sample(10)])
    assert await scaling.samples(since=NOW, until=at(10)) == [sample()]


async def test_a_sample_of_the_same_pool_and_time_replaces(scaling: ScalingStore) -> None:
    await scaling.add_samples([sample(arrivals=1, cpu=0.5), sample(10, arrivals=2)])
    await scaling.add_samples([sample(arrivals=3)])
    assert await scaling.samples(since=LONG_AGO) == [sample(arrivals=3), sample(10, arrivals=2)]


async def test_of_two_of_one_call_the_last_counts(scaling: ScalingStore) -> None:
    await scaling.add_samples([sample(arrivals=1), sample(arrivals=2)])
    assert await scaling.samples(since=LONG_AGO) == [sample(arrivals=2)]


async def test_nothing_to_add_is_nothing(scaling: ScalingStore) -> None:
    await scaling.add_samples([])
    assert await scaling.samples(since=LONG_AGO) == []


async def test_since_counts_and_until_does_not(scaling: ScalingStore) -> None:
    await scaling.add_samples([sample(seconds) for seconds in (0, 10, 20, 30)])
    assert await scaling.samples(since=at(10), until=at(30)) == [sample(10), sample(20)]
    assert await scaling.samples(since=at(20)) == [sample(20), sample(30)]
    assert await scaling.samples(since=at(31)) == []
    assert await scaling.samples(since=at(20), until=at(10)) == []


async def test_samples_come_oldest_first_whatever_the_order_they_came_in(scaling: ScalingStore) -> None:
    times = (30, 0, 20, 10)
    for seconds in times:
        await scaling.add_samples([sample(seconds, pool) for pool in ("security", "billing")])
    found = [(one.at, one.pool) for one in await scaling.samples(since=LONG_AGO)]
    assert found == [(at(seconds), pool) for seconds in sorted(times) for pool in ("billing", "security")]


async def test_a_peak_counts_waiting_turns_and_no_older_sample(scaling: ScalingStore) -> None:
    older = sample(0, "a", running=90.0)
    await scaling.add_samples([older, sample(10, "a", running=3.5, queued=4), sample(20, "a", running=5.0)])
    await scaling.add_samples([sample(20, "b", running=0.0, queued=0), sample(0, "c")])
    assert await scaling.peaks(since=at(10)) == {"a": 7.5, "b": 0.0}


async def test_only_the_pools_that_are_asked_for(scaling: ScalingStore) -> None:
    await scaling.add_samples([sample(0, pool) for pool in ("a", "b", "c")])
    assert [one.pool for one in await scaling.samples(since=NOW, pools=["c", "a", "nobody"])] == ["a", "c"]
    assert await scaling.samples(since=NOW, pools=[]) == []


async def test_more_than_a_statement_takes_is_written_and_read_whole(scaling: ScalingStore) -> None:
    count = max(WRITTEN_AT_ONCE, 2 * READ_AT_ONCE) + 1
    given = [sample(10 * (n // 3), f"pool-{n % 3}", arrivals=n) for n in range(count)]
    await scaling.add_samples(given)
    assert await scaling.samples(since=LONG_AGO) == given


# pruning


async def test_pruning_counts_what_is_older_and_leaves_the_rest(scaling: ScalingStore) -> None:
    await scaling.add_samples([sample(seconds, pool) for seconds in (0, 10, 20) for pool in ("a", "b")])
    for seconds in (0, 10, 20):
        await scaling.add_decision(decision(seconds))
    await scaling.save_state("{}")
    assert await scaling.prune(before=at(20)) == 6
    assert await scaling.samples(since=LONG_AGO) == [sample(20, "a"), sample(20, "b")]
    assert await scaling.decisions() == [decision(20)]
    assert await scaling.state() == "{}"
    assert await scaling.prune(before=at(20)) == 0


async def test_pruning_goes_on_batch_by_batch(scaling: ScalingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossa.stores.postgres.fleet.PRUNED_AT_ONCE", 3)
    await scaling.add_samples([sample(n) for n in range(10)])
    for n in range(6):
        await scaling.add_decision(decision(n))
    assert await scaling.prune(before=at(8)) == 14
    assert await scaling.samples(since=LONG_AGO) == [sample(8), sample(9)]


# decisions


async def test_a_decision_comes_back_whole(scaling: ScalingStore) -> None:
    quantiles = {quantile: 10.0 / (1.0 + quantile) for quantile in QUANTILES}
    forecast = Forecast(pool="a", at=NOW, horizon_s=300, quantiles=quantiles, model="forecast-1", trusted=False)
    reasons = ("CPU is 0.81, above 0.70", "nul \x00 and \\u0000, é")
    pool = PoolDecision(pool="a", agents=12, before=8, standby=2, emergency=True, reasons=reasons)
    given = decision(pools=(pool,), standby=3, nodes_hint=2, by="emergency", forecasts=(forecast,), dry_run=True)
    await scaling.add_decision(given)
    (found,) = await scaling.decisions()
    assert found == given
    assert list(found.forecasts[0].quantiles) == list(QUANTILES)


async def test_a_decision_without_anything_comes_back_without_anything(scaling: ScalingStore) -> None:
    await scaling.add_decision(decision())
    (found,) = await scaling.decisions()
    assert (found, found.nodes_hint) == (decision(), None)


async def test_a_decision_of_the_same_time_replaces(scaling: ScalingStore) -> None:
    await scaling.add_decision(decision(standby=1))
    await scaling.add_decision(decision(standby=2))
    assert await scaling.decisions() == [decision(standby=2)]


async def test_decisions_come_newest_first_page_by_page(scaling: ScalingStore) -> None:
    for seconds in (10, 30, 0, 20):
        await scaling.add_decision(decision(seconds))
    first = await scaling.decisions(limit=2)
    assert first == [decision(30), decision(20)]
    assert await scaling.decisions(limit=2, before=first[-1].at) == [decision(10), decision(0)]
    assert await scaling.decisions(before=at(0)) == []


# the scaler's state


async def test_the_state_is_the_last_one(scaling: ScalingStore) -> None:
    assert await scaling.state() is None
    await scaling.save_state('{"pools": {"a": 1}, "word": "\\u0000 é"}')
    await scaling.save_state('{"pools":  {}}')
    assert await scaling.state() == '{"pools":  {}}'


# a store that is away, and rows of another version


async def test_while_the_store_is_away_every_call_says_so(away: ScalingStore) -> None:
    calls: tuple[Callable[[], Any], ...] = (
        lambda: away.add_samples([sample()]),
        lambda: away.samples(since=NOW),
        lambda: away.prune(before=NOW),
        lambda: away.add_decision(decision()),
        lambda: away.decisions(),
        lambda: away.save_state("{}"),
        lambda: away.state(),
    )
    for call in calls:
        with pytest.raises(StoreUnavailable):
            await call()


async def test_a_decision_that_this_version_cannot_read_hides_no_other(
    scaling: ScalingStore, kind: str, dsn: Any
) -> None:
    if kind == "memory":
        pytest.skip("there are no rows of another version")
    for seconds in (0, 10):
        await scaling.add_decision(decision(seconds))
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute("UPDATE ossa.scale_decisions SET body = '{\"mood\": 1}' WHERE at = %s", (at(10),))
    assert await scaling.decisions() == [decision(0)]
