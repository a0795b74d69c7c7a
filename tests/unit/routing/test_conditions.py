"""Who may do a request, besides whom it names: abilities, trust, breakers, pace, and the conversation's partner."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from ossa.contracts.errors import NotFound
from ossa.contracts.routing import RoutingPolicy
from ossa.contracts.task import Target, TaskRequest
from ossa.routing import (
    Breakers,
    Conditions,
    Decision,
    FleetIndex,
    RequestFeatures,
    agent_subject,
    conversation_of,
    route,
)
from ossa.routing.breaker import FAILURES, LONGEST_S, OPEN_S
from tests.support.clock import ManualClock
from tests.support.fleet import agent, index

FLEET = index(
    agent("security-000", manifest="reviewer", capabilities=("code_review",), tools=("scan",)),
    agent("security-001", manifest="reviewer", capabilities=("code_review",), tools=("scan",)),
    agent("intelligence-000", manifest="analyst", capabilities=("forecast",), trust=0.4),
    agent("community-000", manifest="guide", capabilities=("forecast",)),
)


def choose(
    text: str = "",
    *,
    target: Target | None = None,
    conditions: Conditions | None = None,
    metadata: dict[str, Any] | None = None,
    inflight: dict[str, int] | None = None,
    seed: int = 1,
    fleet: FleetIndex = FLEET,
) -> Decision:
    request = TaskRequest(messages=[{"role": "user", "content": text}], metadata=metadata or {})
    return route(
        fleet,
        target=target or Target(),
        features=RequestFeatures.of_request(request),
        inflight=inflight or {},
        tenant="acme",
        rng=random.Random(seed),
        conditions=conditions or Conditions(),
    )


@pytest.mark.parametrize("asked", ["forecast", " forecast ,", ["forecast"]])
def test_only_agents_with_the_capability_are_asked(asked: Any) -> None:
    found = {
        choose("review code", metadata={"ossa.capabilities": asked}, seed=seed).agent.manifest for seed in range(9)
    }
    assert found == {"analyst", "guide"}


def test_a_tool_is_asked_for_like_a_capability() -> None:
    decision = choose("forecast", metadata={"ossa.capabilities": "scan,code_review"})
    assert decision.agent.manifest == "reviewer"
    assert decision.record().filtered == {"capabilities": 2}


def test_a_capability_that_nobody_has_is_named_with_those_there_are() -> None:
    with pytest.raises(NotFound, match=r"fly.*code_review, forecast, scan") as caught:
        choose(metadata={"ossa.capabilities": "fly"})
    assert caught.value.param == "metadata.ossa.capabilities"


def test_an_agent_below_the_trust_floor_is_not_asked() -> None:
    careful = Conditions(policy=RoutingPolicy(trust_floor=0.5))
    metadata = {"ossa.capabilities": "forecast"}
    assert {choose(metadata=metadata, conditions=careful, seed=n).agent.manifest for n in range(9)} == {"guide"}
    with pytest.raises(NotFound, match="trust"):
        choose(target=Target(kind="agent", name="analyst"), conditions=careful)


def test_a_manifest_that_keeps_failing_is_passed_over_while_others_can() -> None:
    broken = Conditions(open_breakers=frozenset({agent_subject(None, "reviewer")}))
    assert choose("code review", conditions=broken).agent.manifest != "reviewer"
    assert choose("code review", conditions=broken).filtered["breaker"] == 2
    named = choose(target=Target(kind="pool", name="security"), conditions=broken)
    assert named.agent.manifest == "reviewer"  # better tried than refused
    assert "breaker" not in named.filtered


def test_a_slow_agent_gets_less() -> None:
    slow = Conditions(pace={"security-000": 0.3})
    asked = Counter(
        choose(target=Target(kind="pool", name="security"), conditions=slow, seed=n).agent.agent_id for n in range(50)
    )
    assert asked["security-001"] == 50


def test_a_conversation_goes_on_with_its_partner_until_that_is_much_busier() -> None:
    many = index(*(agent(f"foundation-{n:03d}", slots=4) for n in range(30)))
    partner = Conditions(partner="foundation-017")
    for seed in range(20):
        assert choose(fleet=many, conditions=partner, seed=seed).agent.agent_id == "foundation-017"
    busy = {"foundation-017": 3}
    assert choose(fleet=many, conditions=partner, inflight=busy).agent.agent_id != "foundation-017"


def test_a_conversation_is_known_by_its_beginning() -> None:
    begun = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert conversation_of([{"role": "system", "content": "s"}, begun[0]]) == ""
    first = conversation_of(begun)
    assert first
    assert conversation_of([*begun, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]) == first
    assert conversation_of([begun[0], {"role": "assistant", "content": "c"}]) != first


class Learned:
    """A scorer that likes one manifest."""

    name = "labels:test"

    def __init__(self, liked: str, fit: float = 0.9) -> None:
        self._liked, self._fit = liked, fit

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float] | None:
        return [self._fit if group.manifest == self._liked else 0.01 for group in index.groups]

    def qualities(self, features: RequestFeatures) -> None:
        return None


def test_what_was_learned_goes_before_words() -> None:
    decision = choose("code review", conditions=Conditions(scorer=Learned("guide")))
    assert decision.agent.manifest == "guide"
    record = decision.record()
    assert record.router == "labels:test"
    assert record.agents[0].manifest == "guide"
    assert record.agents[0].fit == 0.9


def test_a_decision_tells_its_reasons_and_survives_the_journal() -> None:
    record = choose("code review").record()
    assert record.agent_id.startswith("security")
    assert record.router == "rules"
    assert record.reasons
    assert type(record).model_validate(record.model_dump(mode="json", exclude_defaults=True)) == record


def test_a_breaker_opens_after_failures_in_a_row_and_closes_after_one_good_try() -> None:
    clock = ManualClock()
    breakers = Breakers(clock.monotonic)
    for _ in range(FAILURES - 1):
        breakers.ended("reviewer", failed=True)
    breakers.ended("reviewer", failed=False)
    for _ in range(FAILURES - 1):
        breakers.ended("reviewer", failed=True)
    assert not breakers.open()
    breakers.ended("reviewer", failed=True)
    assert breakers.open() == {"reviewer"}
    clock.advance(OPEN_S)
    assert not breakers.open()
    breakers.admit("reviewer")
    assert breakers.open() == {"reviewer"}  # one try at a time
    breakers.ended("reviewer", failed=False)
    assert not breakers.open()


def test_a_failed_try_keeps_it_open_longer_and_a_cancelled_one_lets_another_try() -> None:
    clock = ManualClock()
    breakers = Breakers(clock.monotonic)
    for _ in range(FAILURES):
        breakers.ended("tier:premium", failed=True)
    clock.advance(OPEN_S)
    breakers.admit("tier:premium")
    breakers.gave_up("tier:premium")
    assert not breakers.open()
    wait = OPEN_S
    for _ in range(12):
        breakers.admit("tier:premium")
        breakers.ended("tier:premium", failed=True)
        wait = min(LONGEST_S, wait * 2)
        clock.advance(wait - 0.01)
        assert breakers.open()
        clock.advance(0.02)
        assert not breakers.open()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 1_000_000,
        "\x00\x01\x1b[31m",
        "Привет, проверь код",
        "审查这段代码",
        "\ud800",
        "🙂" * 1000,
        " " * 100_000,
    ],
)
def test_any_text_gets_a_decision(text: str) -> None:
    assert choose(text).agent.agent_id
    request = TaskRequest.model_construct(messages=[{"role": "user", "content": text}], metadata={}, parameters={})
    assert RequestFeatures.of_request(request).prompt_tokens == len(text) // 4
