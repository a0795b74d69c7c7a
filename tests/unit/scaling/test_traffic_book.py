"""What many gateway replicas saw is one pool's traffic, each turn once."""

from __future__ import annotations

import pytest

from ossa.contracts.scaling import PoolTraffic, TrafficReport
from ossa.scaling.traffic_book import TrafficBook


def _report(replica: str = "a", **pool: object) -> TrafficReport:
    return TrafficReport(replica=replica, seconds=10, pools=(PoolTraffic.model_validate({"pool": "p", **pool}),))


def test_replicas_add_up() -> None:
    book = TrafficBook()
    book.add(_report("a", arrivals=3, running_s=20, queued=1), 1)
    book.add(_report("b", arrivals=4, running_s=10, queued=2), 2)
    taken = book.take(10)
    assert taken is not None
    assert (taken["p"].arrivals, taken["p"].running, taken["p"].queued) == (7, pytest.approx(3.0), 3)


def test_a_report_counts_once_and_what_ran_goes_on_while_the_next_is_on_its_way() -> None:
    book = TrafficBook()
    book.add(_report(arrivals=3, running_s=20, queued=1, waits_s=(1.0,)), 1)
    book.take(10)
    again = book.take(20)
    assert again is not None
    assert (again["p"].arrivals, again["p"].running, again["p"].queued) == (0, pytest.approx(2.0), 1)
    assert again["p"].queue_wait_s is None


def test_two_reports_of_one_replica_are_a_longer_time() -> None:
    book = TrafficBook()
    book.add(_report(running_s=20), 1)
    book.add(_report(running_s=40), 9)
    taken = book.take(10)
    assert taken is not None and taken["p"].running == pytest.approx(3.0)


def test_a_silent_replica_is_gone_and_without_any_nothing_is_known() -> None:
    book = TrafficBook()
    book.add(_report("a", running_s=20), 0)
    book.add(_report("b", running_s=10), 20)
    taken = book.take(30)
    assert taken is not None and taken["p"].running == pytest.approx(1.0)
    assert book.take(60) is None


def test_quantiles_are_of_all_replicas_times() -> None:
    book = TrafficBook()
    book.add(_report("a", waits_s=tuple([0.1] * 99), turns_s=tuple([1.0] * 99)), 1)
    book.add(_report("b", waits_s=(9.0,) * 10, turns_s=(30.0,)), 1)
    taken = book.take(2)
    assert taken is not None
    assert (taken["p"].queue_wait_s, taken["p"].latency_p99_s) == (9.0, 1.0)


def test_a_few_turns_make_no_error_rate() -> None:
    book = TrafficBook()
    book.add(_report(ended=4, failed=2), 1)
    few = book.take(2)
    assert few is not None and few["p"].error_rate is None
    book.add(_report(ended=16, failed=2), 11)
    enough = book.take(12)
    assert enough is not None and enough["p"].error_rate == pytest.approx(0.2)
    book.add(_report(ended=0, failed=0), 90)
    later = book.take(91)
    assert later is not None and later["p"].error_rate is None
