from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from ossa.contracts.errors import FleetBusy, NotFound
from ossa.contracts.fleet import AgentState
from ossa.contracts.task import Target
from ossa.routing import Conditions, Decision, FleetIndex, RequestFeatures, route
from ossa.routing.index import last_user_text, words_of
from tests.support.fleet import agent, index

FLEET = index(
    agent("security-000", manifest="reviewer", capabilities=("code_review", "vulnerability-scan")),
    agent("security-001", manifest="reviewer", capabilities=("code_review", "vulnerability-scan")),
    agent("intelligence-000", manifest="analyst", description="Forecasts load and analyses trends."),
    agent("intelligence-001", manifest="analyst", description="Forecasts load and analyses trends."),
    agent("community-000", manifest="guide", description="Helps new developers."),
)


class Scorer:
    """Gives each manifest a fixed fit."""

    name = "labels:test"

    def __init__(self, fits: Mapping[str, float]) -> None:
        self._fits = fits

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float]:
        return [self._fits[group.manifest] for group in index.groups]

    def qualities(self, features: RequestFeatures) -> None:
        return None


def choose(
    fleet: FleetIndex = FLEET,
    target: str = "auto",
    text: str = "",
    *,
    inflight: dict[str, int] | None = None,
    tenant: str = "acme",
    exclude: frozenset[str] = frozenset(),
    scorer: Scorer | None = None,
    seed: int = 1,
) -> Decision:
    kind, _, name = target.partition("/")
    return route(
        fleet,
        target=Target(kind=kind, name=name),  # type: ignore[arg-type]
        features=RequestFeatures.of([{"role": "user", "content": text}]),
        inflight=inflight or {},
        tenant=tenant,
        rng=random.Random(seed),
        exclude=exclude,
        conditions=Conditions(scorer=scorer),
    )


@pytest.mark.parametrize(
    ("text", "pool"),
    [
        ("Please review this code for a vulnerability", "security"),
        ("What does the forecast of our load look like? Any trends?", "intelligence"),
        ("I am one of your new developers, help me", "community"),
    ],
)
def test_auto_goes_where_the_words_fit(text: str, pool: str) -> None:
    assert choose(text=text).agent.pool == pool


def test_a_pool_is_meant_by_name_or_alias() -> None:
    assert choose(target="pool/security").agent.pool == "security"
    assert choose(target="pool/enterprise-analytics").agent.pool == "intelligence"


def test_an_agent_is_meant_by_id_or_manifest() -> None:
    assert choose(target="agent/security-001").agent.agent_id == "security-001"
    assert choose(target="agent/analyst").agent.pool == "intelligence"


def test_an_unknown_pool_lists_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"community.*enterprise-analytics.*security"):
        choose(target="pool/nope")


def test_an_unknown_agent_lists_the_known_manifests() -> None:
    with pytest.raises(NotFound, match="analyst, guide, reviewer"):
        choose(target="agent/nope")


def test_a_full_pool_is_busy_and_says_when_to_try_again() -> None:
    with pytest.raises(FleetBusy) as caught:
        choose(target="pool/security", inflight={"security-000": 4, "security-001": 4})
    assert caught.value.retry_after_s
    assert caught.value.details["filtered"]["full"] == 2


def test_auto_leaves_the_best_pool_when_it_is_full() -> None:
    decision = choose(text="code review", inflight={"security-000": 4, "security-001": 4})
    assert decision.agent.pool != "security"


def test_an_empty_fleet_is_busy() -> None:
    with pytest.raises(FleetBusy, match="no agent is up"):
        choose(fleet=index())


@pytest.mark.parametrize("state", [AgentState.STARTING, AgentState.DRAINING])
def test_only_ready_agents_are_asked(state: AgentState) -> None:
    with pytest.raises(FleetBusy):
        choose(fleet=index(agent("security-000", state=state)), target="pool/security")


def test_excluded_processes_are_not_asked_again() -> None:
    for seed in range(20):
        decision = choose(target="pool/security", exclude=frozenset({"security-000#1"}), seed=seed)
        assert decision.agent.agent_id == "security-001"


def test_another_tenants_agent_does_not_exist() -> None:
    fleet = index(agent("security-000"), agent("private-1", tenant="other", pool="security", manifest="theirs"))
    for seed in range(20):
        assert choose(fleet, "pool/security", seed=seed).agent.agent_id == "security-000"
        assert choose(fleet, seed=seed).agent.agent_id == "security-000"
    for name in ("private-1", "theirs"):
        with pytest.raises(NotFound) as caught:
            choose(fleet, f"agent/{name}")
        assert "Known agents: security-agent." in str(caught.value)


def test_ones_own_agent_is_seen() -> None:
    fleet = index(agent("security-000"), agent("private-1", tenant="acme", pool="security", manifest="mine"))
    assert choose(fleet, "agent/mine").agent.agent_id == "private-1"


def test_turns_are_spread_over_equals() -> None:
    fleet = index(*(agent(f"foundation-{i:03d}") for i in range(20)))
    inflight: Counter[str] = Counter()
    rng = random.Random(7)
    for _ in range(60):
        decision = route(fleet, target=Target(), features=RequestFeatures(), inflight=inflight, tenant="acme", rng=rng)
        inflight[decision.agent.agent_id] += 1
    assert max(inflight.values()) <= 4
    assert len(inflight) >= 18


def test_the_emptier_of_two_is_taken() -> None:
    decision = choose(target="pool/security", inflight={"security-000": 3})
    assert decision.agent.agent_id == "security-001"


@pytest.mark.parametrize("slots", [4, 8, 16, 64])
def test_of_near_equals_one_with_most_headroom_is_taken(slots: int) -> None:
    fleet = index(*(agent(f"foundation-{i:03d}", slots=slots) for i in range(5)))
    inflight = {"foundation-000": 1, "foundation-001": 1, "foundation-003": 2}
    taken = {choose(fleet, inflight=inflight, seed=seed).agent.agent_id for seed in range(50)}
    assert taken == {"foundation-002", "foundation-004"}


def test_a_little_more_fit_does_not_outweigh_a_turn() -> None:
    """Both are near equals at the usual weights and slots: 0.7 * 0.10 of fit against 0.3 / 4 of headroom."""
    fleet = index(agent("security-000", manifest="better"), agent("security-001", manifest="idle"))
    scorer = Scorer({"better": 0.55, "idle": 0.45})
    taken = {choose(fleet, inflight={"security-000": 1}, scorer=scorer, seed=n).agent.manifest for n in range(20)}
    assert taken == {"idle"}


class Replica:
    """A caller that knows its own turns alone."""

    def __init__(self, fleet: FleetIndex, seed: int) -> None:
        self.own: Counter[str] = Counter()
        self._fleet, self._rng = fleet, random.Random(seed)

    def routed(self) -> str:
        decision = route(
            self._fleet,
            target=Target(),
            features=RequestFeatures(),
            inflight=self.own,
            tenant="acme",
            rng=self._rng,
        )
        return decision.agent.agent_id

    def best_score(self) -> str:
        return min((one.ready[0][1] for one in self._fleet.groups), key=lambda agent_id: self.own[agent_id])


def busiest(replicas: int, choice: Callable[[Replica], str], *, seed: int, turns: int = 2_000) -> float:
    """Mean turns of the busiest of 20 agents at 8 turns of each 20 slots: each turn lasts until 160 others came."""
    fleet = index(*(agent(f"p{i}-000", slots=20) for i in range(20)))
    rng = random.Random(seed)
    callers = [Replica(fleet, seed + n) for n in range(replicas)]
    running: deque[tuple[Replica, str]] = deque()
    total: Counter[str] = Counter()
    peaks = []
    for _ in range(turns):
        if len(running) == 160:
            caller, agent_id = running.popleft()
            caller.own[agent_id] -= 1
            total[agent_id] -= 1
        caller = rng.choice(callers)
        agent_id = choice(caller)
        caller.own[agent_id] += 1
        total[agent_id] += 1
        running.append((caller, agent_id))
        peaks.append(max(total.values()))
    return sum(peaks) / len(peaks)


@pytest.mark.parametrize(("replicas", "most"), [(1, 1.05), (4, 1.0), (16, 0.75)])
def test_replicas_that_do_not_see_each_other_load_no_agent_more_than_the_best_score_would(
    replicas: int, most: float
) -> None:
    routed, best = (
        sum(busiest(replicas, choice, seed=seed) for seed in (1, 2)) for choice in (Replica.routed, Replica.best_score)
    )
    assert routed / best <= most


def test_a_decision_says_why() -> None:
    decision = choose(text="code review")
    assert decision.reasons
    assert 0 <= decision.score <= 1
    assert decision.filtered == {"full": 0, "excluded": 0}


@pytest.mark.parametrize("text", ["", "\x00\x01", "漢字" * 10_000, "a" * 1_000_000, "word " * 200_000, "\ud83d\ude00"])
def test_any_text_gets_a_decision(text: str) -> None:
    assert choose(text=text).agent


def test_the_last_user_message_counts() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": [{"type": "text", "text": "second"}, {"type": "image_url"}]},
        {"role": "assistant", "content": "third"},
    ]
    assert last_user_text(messages) == "second"
    assert last_user_text([{"role": "system", "content": "x"}]) == ""


def test_words_are_lower_case_and_singular() -> None:
    assert words_of("The Vulnerabilities of CLASS classes") == {"vulnerabilitie", "class", "classe"}
