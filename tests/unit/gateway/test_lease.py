from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ossa.contracts.errors import NotReady
from ossa.gateway.lease import Leases
from ossa.gateway.metrics import GatewayMetrics
from ossa.testing.stores import MemoryStores


class Time:
    """One clock for the owner and the store."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.seconds)


class Work:
    def __init__(self) -> None:
        self.lost = False

    def lose(self) -> None:
        self.lost = True


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def stores(time: Time) -> MemoryStores:
    return MemoryStores(clock=time.wall)


@pytest.fixture
def leases(stores: MemoryStores, time: Time) -> Leases:
    return Leases(stores.journal, name="test", ttl_s=6, renew_s=1.5, clock=time.monotonic, metrics=GatewayMetrics())


async def test_there_is_no_lease_before_the_store_gave_one(leases: Leases) -> None:
    with pytest.raises(NotReady):
        leases.current()
    await leases.round()
    assert leases.current().owner.startswith("test-")


async def test_a_lease_that_cannot_be_renewed_stops_its_work_before_others_may_take_it(
    leases: Leases, stores: MemoryStores, time: Time
) -> None:
    await leases.round()
    lease, work = leases.current(), Work()
    lease.running.add(work)
    stores.go_down()
    time.seconds = 5.0
    await leases.round()
    assert not work.lost
    time.seconds = 5.5
    await leases.round()
    assert work.lost
    with pytest.raises(NotReady):
        leases.current()
    stores.come_back()
    await leases.round()
    assert leases.current().owner != lease.owner


async def test_a_doubted_lease_is_kept_up_while_its_work_runs_and_then_retired(leases: Leases, time: Time) -> None:
    await leases.round()
    lease, work = leases.current(), Work()
    lease.running.add(work)
    leases.doubt(lease)
    for _ in range(5):
        time.seconds += 3
        await leases.round()
    assert not work.lost
    assert lease in leases.all
    assert leases.current() is not lease
    lease.running.clear()
    await leases.round()
    assert leases.all == (leases.current(),)


async def test_a_hanging_store_does_not_keep_a_lost_lease(
    leases: Leases, stores: MemoryStores, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leases.round()
    work = Work()
    leases.current().running.add(work)

    async def hang(owner: str, *, ttl_s: float) -> None:
        time.seconds += 10
        await asyncio.sleep(3600)

    monkeypatch.setattr(stores.journal, "renew", hang)
    time.seconds = 5.39
    await leases.round()
    assert work.lost
