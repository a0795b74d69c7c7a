"""Which model tier answers: what a policy promises about quality and cost."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.agent_spec import Tier
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.routing import RoutingPolicy, TierInfo
from ossa.routing import Conditions, FleetIndex, RequestFeatures, TierChoice, choose_tier, own_tier
from tests.support import fleet as support

TIERS: dict[Tier, TierInfo] = {
    "lightweight": TierInfo(tier="lightweight", model="small", input_usd_per_mtok=1, output_usd_per_mtok=4),
    "standard": TierInfo(
        tier="standard", model="middle", input_usd_per_mtok=3, output_usd_per_mtok=15, context_tokens=9_000
    ),
    "premium": TierInfo(tier="premium", model="large", input_usd_per_mtok=15, output_usd_per_mtok=75),
}
FEATURES = RequestFeatures(prompt_tokens=1000, completion_tokens=256)


class Knows:
    """A scorer with these expectations."""

    name = "quality:test"

    def __init__(self, **qualities: float) -> None:
        self._qualities: Mapping[Tier, float] = qualities  # type: ignore[assignment]

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float] | None:
        return None

    def qualities(self, features: RequestFeatures) -> Mapping[Tier, float] | None:
        return self._qualities or None


def agent(**fields: Any) -> AgentInfo:
    return support.agent(**{"manifest": "m", "tier": "premium", **fields})


def choose(
    policy: RoutingPolicy | None = None,
    *,
    asked: AgentInfo | None = None,
    features: RequestFeatures = FEATURES,
    seed: int = 0,
    scorer: Knows | None = None,
    **conditions: Any,
) -> TierChoice:
    given = Conditions(
        policy=policy or RoutingPolicy(),
        tiers=TIERS,
        scorer=scorer or Knows(lightweight=0.7, standard=0.9, premium=0.92),
        **conditions,
    )
    return choose_tier(asked or agent(), features, given, random.Random(seed))


CHEAPEST = RoutingPolicy(models="cheapest")


def test_without_a_policy_the_manifests_tier_stays() -> None:
    assert choose().tier == "premium"
    assert choose(asked=agent(tier="lightweight")).tier == "lightweight"
    assert choose(asked=agent(tier="specialized")).tier == "standard"


def test_the_model_that_a_manifest_names_says_its_tier() -> None:
    assert own_tier(agent(tier="premium", model="small"), TIERS) == "lightweight"
    assert own_tier(agent(tier="premium", model="unknown"), TIERS) == "premium"


def test_the_cheapest_that_is_good_enough_is_taken() -> None:
    assert choose(CHEAPEST).tier == "standard"
    assert choose(RoutingPolicy(models="cheapest", quality_floor=0.7)).tier == "lightweight"
    assert choose(RoutingPolicy(models="cheapest", quality_floor=1.0)).tier == "premium"


def test_nothing_dearer_than_the_manifests_unless_allowed() -> None:
    asked = agent(tier="standard")
    assert choose(RoutingPolicy(models="best"), asked=asked).tier == "standard"
    assert choose(RoutingPolicy(models="best", dearer=True), asked=asked).tier == "premium"
    assert "dearer" in (choose(CHEAPEST, asked=asked).filtered or {})["premium"]


def test_a_tier_that_was_set_for_a_manifest_holds() -> None:
    assert choose(RoutingPolicy(models="cheapest", tiers={"m": "lightweight"}, quality_floor=1.0)).tier == "lightweight"


def test_a_prompt_that_does_not_fit_goes_elsewhere() -> None:
    long = RequestFeatures(prompt_tokens=20_000)
    choice = choose(CHEAPEST, features=long)
    assert choice.tier == "premium"
    assert "context" in (choice.filtered or {})["standard"]
    assert choose(asked=agent(tier="standard"), features=long).tier == "lightweight"


def test_an_endpoint_that_keeps_failing_is_passed_over() -> None:
    assert choose(open_breakers=frozenset({"tier:premium"})).tier in ("lightweight", "standard")
    every = frozenset(f"tier:{tier}" for tier in TIERS)
    assert choose(open_breakers=every).tier == "premium"  # better tried than refused


def test_what_the_budget_has_left_bounds_the_tier() -> None:
    assert choose(RoutingPolicy(models="best"), budget_left_usd=lambda _: 0.01).tier == "standard"
    nothing = choose(RoutingPolicy(models="best"), budget_left_usd=lambda _: 0.0)
    assert nothing.tier == "premium"  # the budget itself refuses it


def test_without_a_model_that_knows_the_manifests_tier_stays() -> None:
    class Silent(Knows):
        def qualities(self, features: RequestFeatures) -> None:
            return None

    assert choose(CHEAPEST, scorer=Silent()).tier == "premium"
    assert choose(CHEAPEST, scorer=Knows(lightweight=0.9)).tier == "premium"


def test_a_cascade_begins_with_what_is_expected_to_pay() -> None:
    cascade = RoutingPolicy(cascade=True)
    assert choose(cascade).cascade == ("lightweight", "standard", "premium")
    hopeless = Knows(lightweight=0.01, standard=0.9, premium=0.92)
    assert choose(cascade, scorer=hopeless).cascade == ("standard", "premium")
    assert choose(cascade, asked=agent(tier="lightweight")).cascade == ()


def test_exploration_is_rare_allowed_and_told() -> None:
    policy = RoutingPolicy(models="cheapest", explore=0.1)
    choices = [choose(policy, asked=agent(tier="standard"), seed=seed) for seed in range(2000)]
    explored = [choice for choice in choices if choice.explored]
    assert 0.06 < len(explored) / len(choices) < 0.14
    assert {choice.tier for choice in explored} == {"lightweight"}
    assert not any(choose(CHEAPEST, seed=seed).explored for seed in range(500))


@given(
    st.fixed_dictionaries({tier: st.floats(0, 1) for tier in TIERS}),
    st.floats(0, 1),
    st.sampled_from(list(TIERS)),
    st.booleans(),
    st.integers(0, 50_000),
)
def test_a_policy_keeps_its_word(
    qualities: dict[str, float], floor: float, tier: Tier, dearer: bool, prompt: int
) -> None:
    features = RequestFeatures(prompt_tokens=prompt)
    policy = RoutingPolicy(models="cheapest", quality_floor=floor, dearer=dearer)
    choice = choose(policy, asked=agent(tier=tier), features=features, scorer=Knows(**qualities))
    cost = {name: info.cost_usd(prompt, features.completion_tokens) for name, info in TIERS.items()}
    allowed = [name for name in TIERS if name not in (choice.filtered or {})]
    assert choice.tier in (allowed or [tier])
    if allowed:
        best = max(qualities[name] for name in allowed)
        good = [name for name in allowed if qualities[name] >= floor * best]
        assert cost[choice.tier] == min(cost[name] for name in good)  # type: ignore[index]
    if not dearer and tier in allowed:
        assert cost[choice.tier] <= cost[tier]  # type: ignore[index]


@pytest.mark.parametrize("count", [0, 1])
def test_with_one_endpoint_or_none_there_is_nothing_to_choose(count: int) -> None:
    tiers = dict(list(TIERS.items())[:count])
    choice = choose_tier(agent(), FEATURES, Conditions(tiers=tiers, policy=CHEAPEST), random.Random(0))
    assert choice.tier == (None if count == 0 else "lightweight")


def test_a_tier_that_nobody_knows_is_not_chosen_and_does_not_keep_others_from_it() -> None:
    tiers = {**TIERS, "specialized": TierInfo(tier="specialized", model="odd", input_usd_per_mtok=0.1)}
    scorer = Knows(lightweight=0.7, standard=0.9, premium=0.92)
    given = Conditions(policy=CHEAPEST, tiers=tiers, scorer=scorer)
    assert choose_tier(agent(), FEATURES, given, random.Random(0)).tier == "standard"
    assert choose_tier(agent(tier="specialized"), FEATURES, given, random.Random(0)).tier == "specialized"
