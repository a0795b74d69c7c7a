from __future__ import annotations

import asyncio

import pytest

from ossa.caching.flight import Flights
from ossa.contracts.errors import FleetBusy


class Work:
    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> str:
        self.started += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "done"


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_waiters_share_one_flight() -> None:
    flights, work = Flights[str](), Work()
    waiting = [asyncio.create_task(flights.join("k", work)) for _ in range(50)]
    await settle()
    work.gate.set()
    assert await asyncio.gather(*waiting) == ["done"] * 50
    assert (work.started, len(flights)) == (1, 0)


async def test_a_waiter_that_is_cancelled_leaves_the_others_their_flight_even_the_one_that_began_it() -> None:
    flights, work = Flights[str](), Work()
    first, second, third = [asyncio.create_task(flights.join("k", work)) for _ in range(3)]
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    work.gate.set()
    assert await asyncio.gather(second, third) == ["done", "done"]
    assert (work.started, work.cancelled) == (1, 0)


async def test_the_last_waiter_takes_the_flight_with_it_and_the_next_one_begins_anew() -> None:
    flights, work = Flights[str](), Work()
    waiting = [asyncio.create_task(flights.join("k", work)) for _ in range(2)]
    await settle()
    for waiter in waiting:
        waiter.cancel()
    await settle()
    assert work.cancelled == 1
    again = asyncio.create_task(flights.join("k", work))
    await settle()
    work.gate.set()
    assert await again == "done"
    assert work.started == 2


async def test_every_waiter_gets_the_error_and_the_next_one_tries_again() -> None:
    flights = Flights[str]()
    calls = 0

    async def fail() -> str:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise ValueError("no")

    found = await asyncio.gather(*(flights.join("k", fail) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [ValueError] * 3
    assert calls == 1
    with pytest.raises(ValueError, match="no"):
        await flights.join("k", fail)
    assert calls == 2


async def test_flights_are_bounded() -> None:
    flights, work = Flights[str](max_open=2), Work()
    waiting = [asyncio.create_task(flights.join(key, work)) for key in range(2)]
    await settle()
    with pytest.raises(FleetBusy):
        await flights.join(2, work)
    work.gate.set()
    await asyncio.gather(*waiting)
    assert await flights.join(2, work) == "done"
