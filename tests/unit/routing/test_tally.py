"""Evidence against a model is everybody's: a task counts once, and no tenant alone decides for the others."""

from __future__ import annotations

import random

from ossa.routing.drift import MOST_TASKS, Bounds, Count, Stream, Tally


def told(tally: Tally, tenant: str, count: int, actual: float = 0.0, *, stream: Stream = "rating") -> None:
    first = len(tally._counts)
    for n in range(first, first + count):
        tally.count(f"task_{n}", tenant, Count(tenant, stream, 0.9, actual))


def test_the_only_tenant_is_believed() -> None:
    tally = Tally(Bounds())
    told(tally, "acme", 40)
    assert tally.alarm() > 1


def test_one_of_several_tenants_is_not_however_much_it_says() -> None:
    tally = Tally(Bounds())
    told(tally, "acme", 1, 1.0)
    told(tally, "evil", 1500)
    assert tally.alarm() == 0


def test_a_tenant_of_which_the_model_says_nothing_is_one_of_them_too() -> None:
    tally = Tally(Bounds())
    tally.count("other", "acme", None)
    told(tally, "evil", 100)
    assert tally.alarm() == 0


def test_at_most_half_of_what_is_needed_comes_from_one_tenant() -> None:
    half = 13  # 13 * (0.9 - 0.1) is just above half of the bound, 20
    tally = Tally(Bounds())
    told(tally, "evil", 100)
    told(tally, "acme", half - 1)
    assert tally.alarm() < 1
    told(tally, "acme", 1)
    assert tally.alarm() > 1


def test_a_model_that_is_bad_for_all_is_noticed_and_a_good_one_is_not() -> None:
    rng = random.Random(1)
    bad, good = Tally(Bounds()), Tally(Bounds())
    for n in range(300):
        tenant = f"tenant-{n % 20}"
        bad.count(f"t{n}", tenant, Count(tenant, "rating", 0.8, float(rng.random() < 0.4)))
        good.count(f"t{n}", tenant, Count(tenant, "rating", 0.8, float(rng.random() < 0.8)))
    assert bad.alarm() > 1 > good.alarm()


def test_a_second_word_on_a_task_replaces_the_first() -> None:
    tally = Tally(Bounds())
    for _ in range(100):
        tally.count("task", "acme", Count("acme", "rating", 0.9, 0.0))
    once = tally.alarm()
    assert once == (0.9 - 0.1) / 20
    tally.count("task", "acme", Count("acme", "rating", 0.9, 1.0))
    assert tally.alarm() == 0
    tally.count("task", "acme", Count("acme", "outcome", 0.9, 0.0))
    assert tally.alarm() == once


def test_streams_are_watched_apart() -> None:
    tally = Tally(Bounds())
    told(tally, "acme", 30)
    told(tally, "acme", 500, 1.0, stream="outcome")
    assert tally.alarm() > 1


def test_old_evidence_is_forgotten() -> None:
    tally = Tally(Bounds())
    told(tally, "acme", 30)
    for n in range(MOST_TASKS):
        tally.count(f"later_{n}", "acme", Count("acme", "outcome", 0.9, 1.0))
    assert tally.alarm() == 0
