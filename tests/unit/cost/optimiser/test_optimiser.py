"""What is proposed, on what evidence, and what is not."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from ossa.contracts.budgets import Approval, Spent, TaskFacts
from ossa.contracts.fleet import PoolInfo
from ossa.contracts.routing import Example, TierInfo
from ossa.cost.optimiser import Seen, mean_difference, measure, propose, share_difference, share_interval

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TIERS = {
    "standard": TierInfo(tier="standard", model="s", input_usd_per_mtok=1.0, output_usd_per_mtok=2.0),
    "premium": TierInfo(tier="premium", model="p", input_usd_per_mtok=10.0, output_usd_per_mtok=20.0),
}


def examples(tier: str, n: int, *, right: float = 1.0, cost: float = 0.1, **fields: Any) -> list[Example]:
    known = {
        "tenant": "acme", "text": "x", "target": "auto", "manifest": "reviewer", "pool": "security", "tier": tier,
        "explored": False, "tool_errors": 0, "prompt_tokens": 1000, "completion_tokens": 100, "cost_usd": cost,
        "seconds": 1.0, "rating": None, "expected": "", "at": NOW,
    }  # fmt: skip
    return [
        Example.model_validate({**known, "task_id": f"{tier}{i}", "succeeded": i < right * n, **fields})
        for i in range(n)
    ]


def facts(n: int, *, hours: float = 720.0, **fields: Any) -> list[TaskFacts]:
    """Over a month, one after the other."""
    known = {"tenant": "acme", "manifest": "reviewer", "tier": "standard", "succeeded": True, "cost_usd": 0.1}
    step = timedelta(hours=hours / max(1, n - 1))
    return [
        TaskFacts.model_validate(
            {"task_id": f"t{i}", "at": NOW + i * step, "question": f"q{i}", "model_calls": 1, **known, **fields}
        )
        for i in range(n)
    ]


def seen(**fields: Any) -> Seen:
    return Seen.model_validate({"days": 30.0, "today": NOW.date(), "tiers": TIERS, **fields})


# tiers


def test_a_cheaper_tier_that_answers_as_well_is_proposed_with_its_interval_and_saving() -> None:
    known = examples("premium", 1000, right=0.9) + examples("standard", 800, right=0.9, cost=0.02)
    [found] = propose(seen(examples=known))
    assert (found.kind, found.subject, found.experiment) == ("tier", "reviewer", False)
    assert found.change == {"manifest": "reviewer", "tier": "standard"}
    assert found.saving_usd_month == pytest.approx(1000 * 0.08)
    assert found.evidence["tasks"] == {"premium": 1000, "standard": 800}
    assert -0.05 <= found.evidence["quality_difference_low"] < 0 < found.evidence["quality_difference_high"]


def test_a_cheaper_tier_that_answers_worse_is_not_proposed() -> None:
    known = examples("premium", 1000, right=0.9) + examples("standard", 800, right=0.7, cost=0.02)
    assert propose(seen(examples=known)) == []


def test_ratings_go_before_success() -> None:
    known = examples("premium", 1000, rating=1.0) + examples("standard", 800, cost=0.02, rating=0.2)
    assert propose(seen(examples=known)) == []


def test_few_tasks_make_an_experiment_that_nothing_applies() -> None:
    known = examples("premium", 200, right=0.9) + examples("standard", 40, right=0.9, cost=0.02)
    [found] = propose(seen(examples=known))
    assert (found.experiment, found.change) == (True, {})


def test_a_tier_nobody_tried_is_an_experiment_priced_by_its_tokens() -> None:
    known = examples("premium", 300, cost=0.012)
    [found] = propose(seen(examples=known))
    assert found.experiment
    assert found.evidence["tasks"] == {"premium": 300, "standard": 0}
    assert found.saving_usd_month == pytest.approx(300 * (0.012 - 0.0012))


def test_tasks_that_were_sent_there_by_chance_are_the_better_evidence() -> None:
    easy = examples("standard", 800, right=1.0, cost=0.02)
    chance = examples("standard", 400, right=0.5, cost=0.02, explored=True)
    assert propose(seen(examples=examples("premium", 1000, right=0.9) + easy + chance)) == []


def test_the_cheapest_tier_and_too_few_tasks_bring_no_proposal() -> None:
    assert propose(seen(examples=examples("standard", 500, cost=0.001))) == []
    assert propose(seen(examples=examples("premium", 29))) == []


# the journal's newest


def test_questions_that_were_asked_before_propose_the_answer_cache() -> None:
    known = [one.model_copy(update={"question": f"q{i % 50}"}) for i, one in enumerate(facts(100))]
    [found] = propose(seen(facts=known))
    assert (found.id, found.evidence["asked_before"]) == ("cache", 50)
    assert found.saving_usd_month == pytest.approx(50 * 0.1)


@pytest.mark.parametrize("change", [{"tool_tokens": 10}, {"given_earlier": True}, {"succeeded": False}])
def test_answers_that_the_cache_would_not_give_are_not_counted(change: dict[str, Any]) -> None:
    assert propose(seen(facts=facts(100, question="same", **change))) == []


def test_long_results_sent_whole_propose_compression_by_what_others_save() -> None:
    whole = facts(40, tool_tokens=10_000, prompt_tokens=20_000, vortex=False)
    short = facts(40, tool_tokens=10_000, prompt_tokens=8_000, saved_tokens=6_000)
    found = {one.id: one for one in propose(seen(facts=whole + short))}["compression"]
    assert not found.experiment
    assert found.saving_usd_month == pytest.approx(40 * 10_000 * 0.6 / 1e6)


def test_without_anything_to_compare_with_compression_is_an_experiment_without_a_figure() -> None:
    [found] = propose(seen(facts=facts(40, tool_tokens=10_000, prompt_tokens=20_000)))
    assert (found.id, found.experiment, found.saving_usd_month) == ("compression", True, None)


def test_asynchronous_tasks_of_one_call_propose_a_batch() -> None:
    [found] = propose(
        seen(facts=facts(100, asynchronous=True) + facts(50, asynchronous=True, model_calls=2, tool_tokens=9))
    )
    assert (found.id, found.evidence["asynchronous"]) == ("batch", 100)
    assert found.saving_usd_month == pytest.approx(100 * 0.1 * 0.5)


# idle agents


def spent(day: int, pool: str = "security", **fields: Any) -> Spent:
    return Spent.model_validate({"day": date(2026, 11, day), "tenant": "acme", "pool": pool, "tasks": 5, **fields})


def test_a_pool_without_a_task_for_days_is_proposed_to_shrink() -> None:
    pools = [PoolInfo(name="security", desired=5, ready=5), PoolInfo(name="community", desired=25, ready=25)]
    known = {"spent": [spent(10, "community"), spent(24)], "pools": pools}
    [found] = propose(seen(**known, agent_month_usd=10.0))
    assert (found.change, found.saving_usd_month) == ({"pool": "community", "agents": 1}, 240.0)
    assert propose(seen(**known))[0].saving_usd_month is None


def test_an_idle_fleet_and_a_new_one_are_left_alone() -> None:
    pools = [PoolInfo(name="community", desired=25, ready=25)]
    assert propose(seen(spent=[spent(10)], pools=pools)) == []
    assert propose(seen(spent=[spent(24)], pools=pools)) == []


# afterwards


def test_what_an_approved_proposal_brought_is_measured_by_task_with_an_interval() -> None:
    approval = Approval(
        id="tier:reviewer:standard",
        kind="tier",
        subject="reviewer",
        by="key_1",
        at=NOW - timedelta(days=7),
        proposal={},
    )
    rng = random.Random(3)
    rows = []
    for day in range(10, 25):
        costs = [(0.10 if day < 17 else 0.04) * rng.uniform(0.5, 1.5) for _ in range(50)]
        squares = sum(cost**2 for cost in costs)
        rows.append(spent(day, manifest="reviewer", tasks=50, cost_usd=sum(costs), cost_squared=squares))
        rows.append(spent(day, manifest="writer", tasks=50, cost_usd=500.0))
    found = measure(approval, rows)
    assert (found.tasks_before, found.tasks_after) == (350, 350)
    assert found.difference_low_usd is not None
    assert found.difference_high_usd is not None
    assert found.difference_low_usd < -0.06 < found.difference_high_usd < 0


def test_one_task_is_no_measurement() -> None:
    approval = Approval(id="x", kind="tier", subject="reviewer", by="k", at=NOW, proposal={})
    found = measure(approval, [spent(23, manifest="reviewer", tasks=1, cost_usd=0.1)])
    assert (found.difference_low_usd, found.before_usd, found.after_usd) == (None, 0.1, None)


# intervals


def test_intervals_are_those_of_the_books() -> None:
    """Wilson and Newcombe, Statistics in Medicine 17 (1998), table II: 56/70 and 48/80."""
    low, high = share_difference(56, 70, 48, 80)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    assert [round(one, 4) for one in share_interval(81, 263)] == [0.2553, 0.3662]


def test_intervals_hold_what_they_are_of_in_19_of_20_cases() -> None:
    rng = random.Random(11)
    held = 0
    for _ in range(400):
        one, two = [rng.gauss(1.0, 0.3) for _ in range(60)], [rng.gauss(0.8, 0.5) for _ in range(60)]
        found = mean_difference(sum(one), sum(x * x for x in one), 60, sum(two), sum(x * x for x in two), 60)
        assert found is not None
        held += found[0] <= 0.2 <= found[1]
    assert 365 <= held <= 395
