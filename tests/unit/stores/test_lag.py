"""Whether a replica may be read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ossa.contracts.errors import StoreUnavailable
from ossa.stores.postgres.lag import Mark, Progress, current_as_of, near_enough, still_useful
from ossa.stores.postgres.lists import LOOK_EVERY_S, REST_S, Lists

MARKS = [Mark(at=10, timeline=1, lsn=100), Mark(at=11, timeline=1, lsn=200), Mark(at=12, timeline=1, lsn=200)]


@pytest.mark.parametrize(
    ("progress", "as_of"),
    [
        (Progress(timeline=1, lsn=99), None),
        (Progress(timeline=1, lsn=100), 10),
        (Progress(timeline=1, lsn=199), 10),
        (Progress(timeline=1, lsn=200), 12),  # an idle primary: the same place, later
        (Progress(timeline=1, lsn=900), 12),
        (Progress(timeline=2, lsn=900), None),  # another history
    ],
)
def test_what_is_replayed_proves_the_latest_moment_before_it(progress: Progress, as_of: float | None) -> None:
    assert current_as_of(MARKS, progress) == as_of


def test_the_bound_is_kept_exactly() -> None:
    assert near_enough(10, now=15, bound_s=5)
    assert not near_enough(10, now=15.001, bound_s=5)
    assert not near_enough(None, now=0, bound_s=5)


def test_marks_that_prove_nothing_any_more_are_forgotten() -> None:
    assert still_useful(MARKS, now=16, bound_s=5) == MARKS[1:]


class Fake:
    """A primary or replica: a server with a place in the journal, and sessions that tell it."""

    place = "standby:1"

    def __init__(self, name: str) -> None:
        self.name, self.lsn, self.timeline = name, 0, 1
        self.down = False
        self.asked: list[str] = []

    async def run(self, action: Any) -> Any:
        if self.down:
            raise StoreUnavailable("gone")
        return await action(self)

    async def execute(self, query: str, *_: Any, **__: Any) -> Fake:
        self.asked.append("progress")
        return self

    async def fetchone(self) -> dict[str, int]:
        return {"lsn": self.lsn, "timeline": self.timeline}

    async def row(self, query: str) -> dict[str, int]:
        self.asked.append("mark")
        return await self.fetchone()

    async def rows(self, query: str, *_: Any, **__: Any) -> Sequence[dict[str, str]]:
        return [{"from": self.name}]

    async def fetch(self, session: Any, query: str, *_: Any, **__: Any) -> Sequence[dict[str, str]]:
        return [{"from": self.name}]


class Pair:
    def __init__(self, bound_s: float = 5.0) -> None:
        self.now = 100.0
        self.primary, self.replica = Fake("primary"), Fake("replica")
        self.lists = Lists(self.primary, self.replica, bound_s=bound_s, clock=lambda: self.now)  # type: ignore[arg-type]

    async def read(self) -> str:
        return str((await self.lists.rows("SELECT 1"))[0]["from"])


async def test_a_replica_that_has_all_is_read_from() -> None:
    pair = Pair()
    assert await pair.read() == "replica"


async def test_one_that_is_behind_is_read_from_until_the_bound_is_over() -> None:
    pair = Pair(bound_s=5)
    await pair.read()
    pair.primary.lsn = 10  # and the replica stays behind
    pair.now += 4
    assert await pair.read() == "replica"
    pair.now += 1.5
    assert await pair.read() == "primary"
    pair.replica.lsn = 10
    assert await pair.read() == "replica"


async def test_one_that_is_cut_off_from_an_idle_primary_is_read_from_and_not_from_a_busy_one() -> None:
    pair = Pair()
    for _ in range(10):
        pair.now += 3
        assert await pair.read() == "replica"
    for n in range(10):
        pair.primary.lsn += 1
        pair.now += 3
        assert await pair.read() == ("replica" if n < 1 else "primary")


async def test_after_a_failover_it_is_read_from_when_it_is_on_the_new_timeline() -> None:
    pair = Pair()
    assert await pair.read() == "replica"
    pair.primary.timeline, pair.primary.lsn = 2, 5
    pair.replica.lsn = 50  # what nobody acknowledged
    pair.now += 6
    assert await pair.read() == "primary"
    pair.replica.timeline = 2
    pair.now += 1.5
    assert await pair.read() == "replica"


async def test_both_are_looked_at_once_a_second_however_many_read() -> None:
    pair = Pair(bound_s=60)
    for _ in range(100):
        await pair.read()
    assert (pair.primary.asked, pair.replica.asked) == (["mark"], ["progress"])
    pair.now += LOOK_EVERY_S
    await pair.read()
    assert (pair.primary.asked, pair.replica.asked) == (["mark"] * 2, ["progress"] * 2)


async def test_a_replica_that_fails_is_left_alone_for_a_while() -> None:
    pair = Pair()
    pair.replica.down = True
    assert await pair.read() == "primary"
    pair.replica.down = False
    assert await pair.read() == "primary"
    pair.now += REST_S
    assert await pair.read() == "replica"
    assert pair.lists.served == {"replica": 1, "primary": 2}
