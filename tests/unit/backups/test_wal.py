"""Which WAL leads where, which is missing, which nobody needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.backups import Base
from ossa.stores.backups.wal import course_to, is_segment, lsn, segment_name, segment_number, unneeded, wanted
from tests.unit.backups.test_retention import made

SIZE = 16 * 2**20
HISTORY = "1\t0/3000158\tbefore 2026-11-28\n"


def base(start: int, *, timeline: int = 1) -> Base:
    """In one segment."""
    lsns = {"start_lsn": f"0/{start * SIZE + 40:X}", "stop_lsn": f"0/{start * SIZE + 288:X}"}
    return made(1).base.model_copy(update={**lsns, "timeline": timeline})


def names(*numbers: int, timeline: int = 1) -> list[str]:
    return [segment_name(timeline, number, SIZE) for number in numbers]


@given(st.integers(1, 2**31), st.integers(0, 2**38), st.sampled_from([2**20, SIZE, 2**30]))
def test_a_name_tells_its_number(timeline: int, number: int, size: int) -> None:
    name = segment_name(timeline, number % (2**32 * (2**32 // size)), size)
    assert is_segment(name)
    assert segment_number(name, size) == number % (2**32 * (2**32 // size))


def test_a_gap_is_named_and_the_end_is_none() -> None:
    course = course_to(1, "")
    assert wanted(base(2), course, names(2, 3, 4)) == (names(3, 4), None)
    assert wanted(base(2), course, names(2, 3, 5, 6)) == (names(3), names(4)[0])
    assert wanted(base(2), course, []) == ([], None)


def test_the_end_does_not_come_before_what_is_known_to_have_been_there() -> None:
    course = course_to(1, "")
    assert wanted(base(2), course, names(3, 4), least=names(5)[0]) == (names(3, 4), names(5)[0])
    assert wanted(base(2), course, [], least=names(3)[0]) == ([], names(3)[0])
    assert wanted(base(2), course, names(3), least=names(2)[0]) == (names(3), None)
    # Of a timeline that was left meanwhile, or of a later one than the base leads to: it says nothing of this one.
    assert wanted(base(1), course_to(2, HISTORY), names(2, 3, timeline=2), least=names(9)[0])[1] == names(2)[0]
    assert wanted(base(2), course, names(3), least=names(9, timeline=2)[0]) == (names(3), None)


def test_a_base_that_brings_no_wal_needs_what_it_began_and_ended_in() -> None:
    course = course_to(1, "")
    assert wanted(base(2), course, names(2, 3), carried=False) == (names(2, 3), None)
    assert wanted(base(2), course, names(3), carried=False) == ([], names(2)[0])
    assert wanted(base(2), course, [], carried=False, least=names(2)[0]) == ([], names(2)[0])


def test_where_a_timeline_was_left_the_segment_is_the_new_one_s() -> None:
    course = course_to(2, HISTORY)
    both = [*names(2, 3, 4), *names(3, 4, timeline=2)]
    assert wanted(base(1), course, both) == ([*names(2), *names(3, 4, timeline=2)], None)
    # Nor is it missed that the old one went further before it was left aside.
    assert wanted(base(1), course, [*both, *names(5, 6)]) == ([*names(2), *names(3, 4, timeline=2)], None)
    # The old timeline's goes on with what was left aside: it is no substitute.
    assert wanted(base(1), course, names(2, 3)) == (names(2), names(3, timeline=2)[0])


def test_a_base_from_after_a_timeline_was_left_does_not_lead_to_the_new_one() -> None:
    course = course_to(2, HISTORY)
    assert course.holds(base(2))
    assert not course.holds(base(4))
    assert course.holds(base(4, timeline=2))


@given(st.lists(st.integers(0, 60), max_size=40, unique=True), st.lists(st.integers(0, 60), min_size=1, max_size=5))
def test_no_kept_base_loses_wal(there: list[int], starts: list[int]) -> None:
    kept = [base(start) for start in starts]
    gone = set(unneeded([*names(*there), "00000002.history"], kept))
    left = [name for name in names(*there) if name not in gone]
    for one in kept:
        assert wanted(one, course_to(1, ""), left) == wanted(one, course_to(1, ""), names(*there))
    assert all(segment_number(name, SIZE) < min(starts) for name in gone)
    assert unneeded(names(*there), []) == []


def test_lsns_are_read() -> None:
    assert lsn("1/2") == 2**32 + 2
