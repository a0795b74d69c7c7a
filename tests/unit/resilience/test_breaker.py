from __future__ import annotations

from ossa.resilience.breaker import Breakers, BreakerState
from tests.support.clock import ManualClock


def test_a_subject_is_left_alone_after_failures_in_a_row_then_one_call_tries() -> None:
    clock = ManualClock()
    breakers = Breakers(clock.monotonic, failures=2, rest_s=5)
    assert not breakers.failed("a")
    breakers.succeeded("a")
    assert not breakers.failed("a")
    assert breakers.admit("a") and not breakers.open()
    assert breakers.failed("a")
    assert not breakers.admit("a") and breakers.open() == {"a"}
    assert breakers.admit("b")
    assert breakers.worst() is BreakerState.OPEN
    clock.advance(5)
    assert breakers.worst() is BreakerState.HALF_OPEN and not breakers.open()
    assert breakers.admit("a")
    assert not breakers.admit("a") and breakers.open() == {"a"}
    assert breakers.succeeded("a")
    assert breakers.admit("a") and breakers.admit("a")
    assert breakers.worst() is BreakerState.CLOSED and len(breakers) == 0


def test_a_failed_try_rests_twice_as_long_up_to_the_longest_and_is_no_new_opening() -> None:
    clock = ManualClock()
    breakers = Breakers(clock.monotonic, failures=1, rest_s=5, longest_s=15)
    assert breakers.failed("a")
    clock.advance(5)
    for rest_s in (10, 15, 15):
        assert breakers.admit("a")
        assert not breakers.failed("a")
        clock.advance(rest_s - 0.1)
        assert not breakers.admit("a")
        clock.advance(0.1)
    assert breakers.admit("a")


def test_a_failure_of_a_call_that_began_before_the_breaker_opened_does_not_prolong_the_rest() -> None:
    clock = ManualClock()
    breakers = Breakers(clock.monotonic, failures=1, rest_s=5)
    breakers.failed("a")
    clock.advance(4)
    breakers.failed("a")
    clock.advance(1)
    assert breakers.admit("a")


def test_who_gave_up_a_try_lets_another_one_try() -> None:
    clock = ManualClock()
    breakers = Breakers(clock.monotonic, failures=1, rest_s=5)
    breakers.failed("a")
    clock.advance(5)
    assert breakers.admit("a")
    breakers.gave_up("a")
    breakers.gave_up("never seen")
    assert breakers.admit("a")


def test_a_subject_that_nobody_asks_for_any_more_is_forgotten() -> None:
    clock = ManualClock()
    breakers = Breakers(clock.monotonic, failures=1, rest_s=5, abandoned_s=30)
    breakers.failed("a")
    clock.advance(35)
    assert breakers.worst() is BreakerState.CLOSED
    assert len(breakers) == 0


def test_subjects_are_bounded_and_the_one_that_failed_longest_ago_goes_first() -> None:
    breakers = Breakers(ManualClock().monotonic, failures=1, rest_s=5, most=2)
    for subject in ("a", "b", "a", "c"):
        breakers.failed(subject)
    assert breakers.open() == {"a", "c"}
