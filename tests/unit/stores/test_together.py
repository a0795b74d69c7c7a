"""Calls that share a round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ossa.contracts.errors import InvalidRequest
from ossa.stores.postgres.budgets import Together


class Database:
    """Doubles numbers, a batch at a time; refuses batches with a 13."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()

    async def double(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


async def test_what_comes_while_a_batch_is_on_its_way_goes_together() -> None:
    database = Database()
    double = Together(database.double, most=3)
    first = asyncio.create_task(double(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(double(number)) for number in range(2, 7)]
    await asyncio.sleep(0)
    database.gate.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12]
    assert database.batches == [[1], [2, 3, 4], [5, 6]]


async def test_every_caller_of_a_failed_batch_hears_of_it_and_the_next_batch_is_sent() -> None:
    database = Database()
    database.gate.set()
    double = Together(database.double, most=2)
    found = await asyncio.gather(double(13), double(1), double(2), return_exceptions=True)
    assert [type(one) for one in found] == [ValueError, ValueError, int]


async def test_a_value_that_cannot_be_kept_is_its_own_callers_trouble_alone() -> None:
    async def double(items: Sequence[int]) -> Sequence[int]:
        if 13 in items:
            raise InvalidRequest("13")
        return [2 * item for item in items]

    together = Together(double, most=9)
    found = await asyncio.gather(*(together(number) for number in (1, 13, 2)), return_exceptions=True)
    assert (found[0], type(found[1]), found[2]) == (2, InvalidRequest, 4)


async def test_a_caller_that_goes_away_keeps_nobody_else_waiting() -> None:
    database = Database()
    double = Together(database.double, most=9)
    gone, stays = asyncio.create_task(double(1)), asyncio.create_task(double(2))
    await asyncio.sleep(0)
    gone.cancel()
    database.gate.set()
    assert await stays == 4
    with pytest.raises(asyncio.CancelledError):
        await gone
