"""What a replica counts of its turns, without a gateway around it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ossa.contracts.errors import FleetBusy, InvalidRequest, NotFound, OssaError
from ossa.contracts.fleet import AgentState
from ossa.contracts.scaling import MOST_TIMES, PoolTraffic, TrafficReport
from ossa.contracts.stores import Backlog
from ossa.contracts.task import ErrorInfo, Outcome, Target, Task, TaskRequest, TaskStatus
from ossa.gateway.extensions.traffic.meter import TrafficMeter, split, thinned
from ossa.testing.gateway import fake_agent
from tests.support.clock import ManualClock
from tests.support.fleet import index

SECURITY = fake_agent("security-000", slots=4)
INTELLIGENCE = fake_agent("intelligence-000", slots=12)
OWN = fake_agent("acme-000", pool="security", tenant="acme", manifest="mine")
INDEX = index(SECURITY, INTELLIGENCE, OWN)
TO_SECURITY, AUTO = Target(kind="pool", name="security"), Target()
DONE = Outcome(status=TaskStatus.SUCCEEDED)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def meter(clock: ManualClock) -> TrafficMeter:
    return TrafficMeter(clock.monotonic)


def pools(meter: TrafficMeter, *backlog: Backlog) -> dict[str, PoolTraffic]:
    return {pool.pool: pool for pool in meter.report("r", INDEX, backlog).pools}


def task(target: Target = AUTO, *, attempts: int = 1, waited_s: float = 0.0, task_id: str = "t") -> Task:
    born = datetime(2026, 1, 1, tzinfo=UTC)
    return Task(
        id=task_id,
        tenant="acme",
        status=TaskStatus.RUNNING,
        request=TaskRequest(messages=[], target=target),
        attempts=attempts,
        created_at=born,
        updated_at=born + timedelta(seconds=waited_s),
    )


def failed(code: str) -> Outcome:
    return Outcome(status=TaskStatus.FAILED, error=ErrorInfo(code=code, message="no"))


def test_a_turn_is_counted_where_its_agent_is_with_its_wait_and_its_time(
    meter: TrafficMeter, clock: ManualClock
) -> None:
    meter.asked("t", AUTO)
    clock.advance(0.5)
    turn = meter.of(task(task_id="t"))
    turn.began(SECURITY)
    turn.began(SECURITY)  # what is said again changes nothing
    clock.advance(2.0)
    turn.left()
    clock.advance(7.5)  # the journal takes its time: nobody waits for an agent, and no agent works
    assert not meter.waiting(INDEX)
    turn.ended(DONE)
    report = meter.report("r", INDEX)
    seen = PoolTraffic(pool="security", arrivals=1, ended=1, running_s=2.0, waits_s=(0.5,), turns_s=(2.0,))
    assert report == TrafficReport(replica="r", seconds=10.0, pools=(seen,))
    clock.advance(10.0)
    assert meter.report("r", INDEX) == TrafficReport(replica="r", seconds=10.0)


def test_turns_at_once_are_summed_over_time_and_over_periods(meter: TrafficMeter, clock: ManualClock) -> None:
    for name in ("a", "b"):
        meter.of(task(TO_SECURITY, task_id=name)).began(SECURITY)
        clock.advance(3.0)
    assert pools(meter)["security"].running_s == 3 + 6
    clock.advance(10.0)
    seen = pools(meter)["security"]
    assert (seen.running_s, seen.arrivals, seen.waits_s) == (20.0, 0, ())


def test_a_long_turn_tells_its_wait_before_it_ends_and_once(meter: TrafficMeter, clock: ManualClock) -> None:
    turn = meter.of(task(TO_SECURITY))
    clock.advance(1.5)
    turn.began(SECURITY)
    assert pools(meter)["security"].waits_s == (1.5,)
    clock.advance(60.0)
    turn.ended(DONE)
    seen = pools(meter)["security"]
    assert (seen.waits_s, seen.turns_s, seen.ended) == ((), (60.0,), 1)


def test_an_agent_that_is_full_after_all_is_no_beginning(meter: TrafficMeter, clock: ManualClock) -> None:
    turn = meter.of(task(TO_SECURITY))
    clock.advance(1.0)
    turn.began(SECURITY)
    turn.turned_away()
    turn.left()
    assert meter.waiting(INDEX) == {"security": 1}
    assert pools(meter)["security"].waits_s == ()
    clock.advance(2.0)
    turn.began(SECURITY)
    turn.ended(DONE)
    seen = pools(meter)["security"]
    assert (seen.waits_s, seen.arrivals, seen.ended) == ((3.0,), 0, 1)


def test_a_turn_that_is_taken_over_arrived_and_waited_once(meter: TrafficMeter, clock: ManualClock) -> None:
    turn = meter.of(task(TO_SECURITY))
    turn.began(SECURITY)
    clock.advance(1.0)
    turn.left()  # its agent was lost
    turn.waits()
    assert meter.waiting(INDEX) == {"security": 1}
    clock.advance(5.0)
    turn.began(INTELLIGENCE)
    clock.advance(2.0)
    turn.ended(DONE)
    seen = pools(meter)
    assert (seen["security"].arrivals, seen["security"].waits_s, seen["security"].running_s) == (1, (0.0,), 1.0)
    assert seen["intelligence"] == PoolTraffic(pool="intelligence", ended=1, running_s=2.0, turns_s=(3.0,))


def test_what_waited_in_the_journal_counts_as_waiting_and_arrived_when_it_was_accepted(
    meter: TrafficMeter, clock: ManualClock
) -> None:
    meter.queued(TO_SECURITY)
    assert pools(meter)["security"].arrivals == 1
    meter.claimed(task(TO_SECURITY, waited_s=30.0))
    turn = meter.of(task(TO_SECURITY))
    clock.advance(1.0)
    turn.began(SECURITY)
    turn.ended(DONE)
    seen = pools(meter)["security"]
    assert (seen.arrivals, seen.waits_s) == (0, (31.0,))


def test_another_owners_lost_task_has_neither_arrived_nor_waited(meter: TrafficMeter, clock: ManualClock) -> None:
    meter.claimed(task(TO_SECURITY, attempts=2, waited_s=30.0))
    turn = meter.of(task(TO_SECURITY))
    turn.began(SECURITY)
    turn.ended(DONE)
    seen = pools(meter)["security"]
    assert (seen.arrivals, seen.waits_s, seen.ended) == (0, (), 1)


@pytest.mark.parametrize(
    ("code", "fails"),
    [
        *((code, 1) for code in ("model_failed", "tool_failed", "agent_lost", "internal", "timed_out", "fleet_busy")),
        *(
            (code, 0)
            for code in ("invalid_request", "limit_exceeded", "budget_exceeded", "model_rejected", "cancelled")
        ),
    ],
)
def test_failed_is_what_was_not_the_callers_doing(meter: TrafficMeter, code: str, fails: int) -> None:
    turn = meter.of(task(TO_SECURITY))
    turn.began(SECURITY)
    turn.ended(failed(code))
    seen = pools(meter)["security"]
    assert (seen.ended, seen.failed) == (1, fails)


def test_one_that_nobody_was_free_for_is_a_failed_turn_of_what_it_waited_for(meter: TrafficMeter) -> None:
    meter.asked("t", TO_SECURITY)
    meter.dropped("t", FleetBusy.code)
    assert pools(meter)["security"] == PoolTraffic(pool="security", arrivals=1, ended=1, failed=1)


@pytest.mark.parametrize("error", [NotFound, InvalidRequest])
def test_a_mistake_is_no_turn(meter: TrafficMeter, error: type[OssaError]) -> None:
    meter.asked("t", TO_SECURITY)
    meter.dropped("t", error.code)
    assert pools(meter) == {}


def test_one_who_hangs_up_while_waiting_asked_for_a_turn_that_did_not_fail(meter: TrafficMeter) -> None:
    meter.asked("t", TO_SECURITY)
    meter.dropped("t", "")
    assert pools(meter)["security"] == PoolTraffic(pool="security", arrivals=1)
    assert not meter.waiting(INDEX)


def test_what_still_waits_has_arrived_where_it_waits_and_once(meter: TrafficMeter) -> None:
    agent = Target(kind="agent", name="security-agent")
    for name, target in (("a", TO_SECURITY), ("b", agent), ("c", Target(kind="agent", name="security-000"))):
        meter.of(task(target, task_id=name))
    assert pools(meter)["security"] == PoolTraffic(pool="security", arrivals=3, queued=3)
    assert pools(meter)["security"] == PoolTraffic(pool="security", queued=3)


def test_waiting_for_auto_is_shared_out_as_such_turns_lately_began(meter: TrafficMeter) -> None:
    for number in range(4):
        turn = meter.of(task(task_id=f"t{number}"))
        turn.began(SECURITY if number else INTELLIGENCE)
        turn.ended(DONE)
    seen = pools(meter, Backlog(target=AUTO, tasks=80))
    assert (seen["security"].queued, seen["intelligence"].queued) == (60, 20)


def test_waiting_for_auto_is_shared_out_by_places_where_none_began(meter: TrafficMeter) -> None:
    meter.of(task())
    seen = pools(meter, Backlog(target=AUTO, tasks=79))
    assert (seen["security"].queued, seen["intelligence"].queued) == (20, 60)
    assert seen["security"].arrivals + seen["intelligence"].arrivals == 1


def test_the_journals_backlog_waits_for_its_pools_and_what_is_unknown_for_none(meter: TrafficMeter) -> None:
    names = ("pool/security", "agent/intelligence-agent", "agent/mine", "pool/nowhere")
    targets = [Target(kind=kind, name=name) for kind, name in (one.split("/") for one in names)]  # type: ignore[arg-type]
    seen = pools(meter, *(Backlog(target=target, tasks=7) for target in targets))
    assert {name: pool.queued for name, pool in seen.items()} == {"security": 7, "intelligence": 7}


def test_a_tenants_own_agent_is_no_pools(meter: TrafficMeter, clock: ManualClock) -> None:
    meter.asked("t", Target(kind="agent", name="mine"))
    turn = meter.of(task(task_id="t"))
    turn.began(OWN)
    clock.advance(5.0)
    turn.ended(DONE)
    assert pools(meter) == {}


def test_a_run_that_was_replaced_does_not_end_its_successors_turn(meter: TrafficMeter) -> None:
    old = meter.of(task(TO_SECURITY))
    old.began(SECURITY)
    meter.claimed(task(TO_SECURITY, attempts=2))
    old.gone()
    assert meter.waiting(INDEX) == {"security": 1}
    assert meter.of(task(TO_SECURITY)) is not old


def test_nothing_is_kept_of_turns_that_are_over(meter: TrafficMeter, clock: ManualClock) -> None:
    for number in range(50):
        turn = meter.of(task(Target(kind="agent", name=f"unknown-{number}"), task_id=f"t{number}"))
        turn.gone()
    meter.report("r", INDEX)
    assert not meter._turns
    assert not meter._counts


def test_many_times_are_thinned_evenly_by_rank() -> None:
    few = thinned(float(number % 7) for number in range(MOST_TIMES))
    assert len(few) == MOST_TIMES
    many = thinned(float(9999 - number) for number in range(10_000))
    assert len(many) == MOST_TIMES
    assert (many[0], many[-1]) == (0.0, 9999.0)
    for level in (0.5, 0.95, 0.99):
        assert many[round(level * (MOST_TIMES - 1))] == pytest.approx(level * 9999, abs=20)


@pytest.mark.parametrize(
    ("count", "weights"), [(10, (1, 1, 1)), (1, (0.2, 0.3, 0.5)), (7, (0, 5, 0.1)), (3, (1e-9, 1, 1))]
)
def test_shares_add_up_and_are_near_their_weights(count: int, weights: tuple[float, ...]) -> None:
    shares = split(count, {str(place): weight for place, weight in enumerate(weights)})
    assert sum(shares.values()) == count
    for place, weight in enumerate(weights):
        assert abs(shares[str(place)] - count * weight / sum(weights)) < 1


def test_without_weights_nothing_is_shared_out() -> None:
    assert split(5, {}) == split(5, {"a": 0}) == split(0, {"a": 1}) == {}


def test_agents_that_are_not_ready_have_no_places_unless_none_is_ready(meter: TrafficMeter) -> None:
    starting = fake_agent("intelligence-001", slots=12, state=AgentState.STARTING)
    fleet = index(SECURITY, starting)
    (seen,) = meter.report("r", fleet, [Backlog(target=AUTO, tasks=4)]).pools
    assert (seen.pool, seen.queued) == ("security", 4)
    fleet = index(starting)
    (seen,) = meter.report("r", fleet, [Backlog(target=AUTO, tasks=4)]).pools
    assert (seen.pool, seen.queued) == ("intelligence", 4)
