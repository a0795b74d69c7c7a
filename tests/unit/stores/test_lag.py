"""Whether a replica may be read from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from ossa.contracts.errors import OssaError, StoreUnavailable
from ossa.stores.postgres.lists import (
    BEHIND_S,
    LOOK_EVERY_S,
    REST_S,
    Lists,
    Mark,
    current_as_of,
    near_enough,
    still_useful,
)

MARKS = [Mark(at=10, number=1), Mark(at=11, number=2), Mark(at=12, number=4)]


@pytest.mark.parametrize(("shown", "as_of"), [(0, None), (1, 10), (2, 11), (3, 11), (4, 12), (9, 12)])
def test_what_a_replica_shows_proves_the_latest_moment_noted_by_then(shown: int, as_of: float | None) -> None:
    assert current_as_of(MARKS, shown) == as_of


def test_the_bound_is_kept_exactly() -> None:
    assert near_enough(10, now=15, bound_s=5)
    assert not near_enough(10, now=15.001, bound_s=5)
    assert not near_enough(None, now=0, bound_s=5)


def test_marks_that_prove_nothing_any_more_are_forgotten() -> None:
    assert still_useful(MARKS, now=16, bound_s=5) == MARKS[1:]


class Primary:
    """Where marks are noted."""

    def __init__(self) -> None:
        self.number = self.marked = 0
        self.down = False

    async def execute(self, query: str, params: dict[str, Any]) -> None:
        if self.down:
            raise StoreUnavailable("gone")
        self.marked += 1
        self.number = params["number"]

    async def rows(self, query: str, *_: Any, **__: Any) -> Sequence[dict[str, str]]:
        return [{"from": "primary"}]


class Replica:
    """It has what the primary had when it last followed. It is its own session."""

    place = "standby:1"

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self.follows, self.down = True, False
        self.has_tables = True
        self.looked = self.shown = 0

    async def run(self, action: Any) -> Any:
        if self.down:
            raise StoreUnavailable("gone")
        if not self.has_tables:
            raise OssaError('relation "ossa.reader_marks" does not exist')
        return await action(self)

    async def execute(self, query: str, *_: Any, **__: Any) -> Replica:
        self.looked += 1
        return self

    async def fetchone(self) -> dict[str, int]:
        if self.follows:
            self.shown = self._primary.number
        return {"number": self.shown}

    async def fetch(self, session: Any, query: str, *_: Any, **__: Any) -> Sequence[dict[str, str]]:
        return [{"from": "replica"}]


class Pair:
    def __init__(self, bound_s: float = 5.0) -> None:
        self.now = 100.0
        self.primary = Primary()
        self.replica = Replica(self.primary)
        self.lists = Lists(self.primary, self.replica, bound_s=bound_s, clock=lambda: self.now)  # type: ignore[arg-type]

    async def read(self) -> str:
        found = str((await self.lists.rows("SELECT 1"))[0]["from"])
        await asyncio.sleep(0)  # a mark is noted beside it
        return found


async def test_nothing_is_read_from_a_replica_of_which_nothing_is_proved() -> None:
    pair = Pair()
    assert [await pair.read(), await pair.read()] == ["primary", "replica"]


async def test_one_that_is_behind_is_read_from_until_the_bound_is_over() -> None:
    pair = Pair(bound_s=5)
    await pair.read()
    await pair.read()
    pair.replica.follows = False
    pair.now += 5
    assert await pair.read() == "replica"
    pair.now += 0.1
    assert await pair.read() == "primary"
    pair.replica.follows = True
    assert await pair.read() == "replica"


async def test_one_that_has_not_heard_of_a_table_yet_is_passed_over_and_asked_again_soon() -> None:
    pair = Pair(bound_s=5)
    pair.replica.has_tables = False
    assert [await pair.read(), await pair.read()] == ["primary", "primary"]
    pair.replica.has_tables = True
    pair.now += BEHIND_S
    assert await pair.read() == "replica"


async def test_an_idle_primary_is_no_special_case_and_reads_that_are_rare_begin_at_the_primary() -> None:
    pair = Pair(bound_s=5)
    for _ in range(10):
        pair.now += 60
        assert [await pair.read(), await pair.read()] == ["primary", "replica"]


async def test_while_the_primary_is_away_reads_go_on_within_the_bound() -> None:
    pair = Pair(bound_s=5)
    await pair.read()
    pair.primary.down = True
    pair.now += 4
    assert await pair.read() == "replica"
    pair.now += 2
    assert await pair.read() == "primary"


async def test_a_mark_whose_answer_was_lost_proves_nothing_and_harms_nothing() -> None:
    pair = Pair(bound_s=5)
    await pair.read()
    pair.now += 2
    pair.primary.down = True
    await pair.read()
    pair.primary.down, pair.primary.number = False, 2  # it had come through all the same
    pair.now += 2
    assert await pair.read() == "replica"
    pair.now += 3
    assert await pair.read() == "replica"


async def test_both_are_looked_at_once_a_second_however_many_read() -> None:
    pair = Pair(bound_s=60)
    await pair.read()
    for _ in range(100):
        await pair.read()
    assert (pair.primary.marked, pair.replica.looked) == (1, 2)
    pair.now += LOOK_EVERY_S
    await pair.read()
    assert (pair.primary.marked, pair.replica.looked) == (2, 3)


async def test_a_replica_that_fails_is_left_alone_for_a_while() -> None:
    pair = Pair()
    await pair.read()
    pair.replica.down = True
    assert await pair.read() == "primary"
    pair.replica.down = False
    assert await pair.read() == "primary"
    pair.now += REST_S
    assert [await pair.read(), await pair.read()] == ["primary", "replica"]
    assert pair.lists.served == {"replica": 1, "primary": 4}
