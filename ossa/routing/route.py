"""Chooses an agent and a model tier for one request: filters, scores, picks. `Decision` records why."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ossa.contracts.agent_spec import Tier
from ossa.contracts.errors import FleetBusy, NotFound
from ossa.contracts.fleet import POOL_ALIASES, AgentInfo
from ossa.contracts.routing import AgentScore, Route, RoutingPolicy, TierInfo, TierScore
from ossa.contracts.task import Target
from ossa.routing.index import CAPABILITIES_KEY, AgentGroup, FleetIndex, RequestFeatures, SlotRow

RECORDED_CANDIDATES = 5
"""Candidates in a record; agents of one manifest count as one."""


def tier_subject(tier: Tier) -> str:
    """Names a tier's endpoint among breakers."""
    return f"tier:{tier}"


def agent_subject(owner: str | None, manifest: str) -> str:
    """Names a manifest among breakers; `owner` is the tenant whose own agents they are."""
    return f"agent:{owner or ''}/{manifest}"


class Scorer(Protocol):
    """Estimates of learned models. Pure and bounded in time; `name` lists the models by digest."""

    @property
    def name(self) -> str: ...

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float] | None:
        """Returns for each group the likelihood that it is meant; None if the models cannot say, and rules decide."""

    def qualities(self, features: RequestFeatures) -> Mapping[Tier, float] | None:
        """Returns the expected share of right answers by tier; None if the models cannot say."""


@dataclass(frozen=True)
class Conditions:
    """
    Attributes:
        scorer: None: rules decide.
        tiers: the endpoints there are; empty: each agent uses its own.
        open_breakers: subjects not to be asked now (`agent_subject`, `tier_subject`).
        pace: factor below 1 for agents that are slower than others of their manifest, by agent id.
        partner: the agent that had this conversation before.
        budget_left_usd: what one more task of an agent may cost; returns None without a limit.
        filters: further rules by name; a group of agents that one of them rejects is not asked.
    """

    policy: RoutingPolicy = field(default_factory=RoutingPolicy)
    scorer: Scorer | None = None
    tiers: Mapping[Tier, TierInfo] = field(default_factory=dict)
    open_breakers: frozenset[str] = frozenset()
    pace: Mapping[str, float] = field(default_factory=dict)
    partner: str = ""
    budget_left_usd: Callable[[AgentInfo], float | None] = lambda _: None
    filters: Mapping[str, Callable[[AgentGroup], bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class TierChoice:
    """`tier` is None if there is nothing to choose from; the agent then uses its own."""

    tier: Tier | None = None
    cascade: tuple[Tier, ...] = ()
    explored: bool = False
    scores: tuple[TierScore, ...] = ()
    filtered: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """The tier, or the tiers of the cascade joined by `+`; empty without either."""
        return "+".join(self.cascade) or self.tier or ""


class Candidate(NamedTuple):
    """All figures lie in [0, 1] except the score, which affinity may lift above. A tuple, because the hot loop makes
    many."""

    score: float
    fit: float
    headroom: float
    affinity: float
    agent: AgentInfo


@dataclass(frozen=True)
class Decision:
    """The chosen agent and the reasons. `filtered` counts the agents that each filter removed."""

    agent: AgentInfo
    score: float
    reasons: tuple[str, ...] = ()
    filtered: dict[str, int] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    tier: TierChoice = field(default_factory=TierChoice)
    router: str = "rules"
    policy: str = "manifest"
    microseconds: int = 0

    def record(self) -> Route:
        """Returns what the journal keeps."""
        return Route(
            agent_id=self.agent.agent_id,
            manifest=self.agent.manifest,
            pool=self.agent.pool,
            tier=self.tier.tier,
            cascade=self.tier.cascade,
            explored=self.tier.explored,
            agents=tuple(_score(candidate) for candidate in _best_by_manifest(self.candidates, self.agent)),
            tiers=self.tier.scores,
            filtered={name: count for name, count in self.filtered.items() if count},
            tiers_filtered=dict(self.tier.filtered or {}),
            reasons=self.reasons,
            router=self.router,
            policy=self.policy,
            microseconds=self.microseconds,
        )


def _best_by_manifest(candidates: tuple[Candidate, ...], chosen: AgentInfo) -> list[Candidate]:
    """Returns the chosen candidate first, then the best one of each other manifest."""
    best = {candidate.agent.manifest: candidate for candidate in sorted(candidates, key=lambda c: c.score)}
    first = [candidate for candidate in candidates if candidate.agent is chosen]
    others = [candidate for manifest, candidate in best.items() if manifest != chosen.manifest]
    return [*first, *sorted(others, key=lambda candidate: -candidate.score)][:RECORDED_CANDIDATES]


def _score(candidate: Candidate) -> AgentScore:
    return AgentScore(
        agent_id=candidate.agent.agent_id,
        manifest=candidate.agent.manifest,
        pool=candidate.agent.pool,
        fit=round(candidate.fit, 4),
        headroom=round(candidate.headroom, 4),
        affinity=round(candidate.affinity, 4),
        score=round(candidate.score, 4),
    )


NAMED_IN_ERRORS = 20


def named_groups(index: FleetIndex, target: Target, tenant: str) -> list[int]:
    """Returns the positions of the groups that the target names and the tenant may see.

    Raises `NotFound` with the known names if there is none.
    """
    if target.kind == "pool":
        pool = index.pool_named(target.name)
        if pool is None:
            known = sorted({*index.pools, *POOL_ALIASES})
            raise NotFound(f"No pool named {target.name!r}. Known pools: {', '.join(known) or 'none'}.", param="model")
        positions: tuple[int, ...] = index.by_pool[pool]
    elif target.kind == "agent":
        positions = index.by_name.get(target.name, ())
    else:
        positions = tuple(range(len(index.groups)))
    hidden = index.hidden_from(tenant)
    visible = [position for position in positions if position not in hidden] if hidden else list(positions)
    if not visible and target.kind == "agent":
        names = sorted({group.manifest for group in index.groups if group.visible_to(tenant)})
        raise NotFound(f"No agent named {target.name!r}. Known agents: {_listed(names)}.", param="model")
    return visible


def able_groups(
    index: FleetIndex, positions: list[int], features: RequestFeatures, conditions: Conditions
) -> tuple[list[int], dict[str, int]]:
    """Returns the groups that can and may do the request, and how many agents each filter removed.

    Open breakers remove nothing if no group would be left. Raises `NotFound` if no group can do it.
    """
    floor, filtered = conditions.policy.trust_floor, dict[str, int]()
    able = positions
    if features.needs:
        able = _kept(index, able, filtered, "capabilities", lambda group: features.needs <= group.skills)
        if positions and not able:
            skills = sorted(set().union(*(index.groups[position].skills for position in positions)))
            raise NotFound(
                f"No agent has all of {', '.join(sorted(features.needs))}. "
                f"Capabilities and tools there are: {_listed(skills)}.",
                param=f"metadata.{CAPABILITIES_KEY}",
            )
    if floor:
        trusted = _kept(index, able, filtered, "trust", lambda group: group.trust >= floor)
        if able and not trusted:
            raise NotFound(f"No agent that could do it claims the trust of {floor:g} that the policy asks for.")
        able = trusted
    for name, allows in conditions.filters.items():
        allowed = _kept(index, able, filtered, name, allows)
        if able and not allowed:
            raise NotFound(f"No agent that could do it is allowed by the filter {name!r}.", param="model")
        able = allowed
    if broken := conditions.open_breakers:
        working = _kept(
            index, able, filtered, "breaker", lambda group: agent_subject(group.tenant, group.manifest) not in broken
        )
        if working:
            able = working
        else:
            filtered.pop("breaker", None)
    return able, filtered


def ready_rows(group: AgentGroup, target: Target) -> tuple[SlotRow, ...]:
    """Returns the group's ready agents, or the one that the target names by its id."""
    if target.kind == "agent" and target.name != group.manifest:
        return tuple(row for row in group.ready if row[1] == target.name)
    return group.ready


def _kept(
    index: FleetIndex, positions: list[int], filtered: dict[str, int], name: str, keep: Callable[[AgentGroup], bool]
) -> list[int]:
    kept = [position for position in positions if keep(index.groups[position])]
    if len(kept) < len(positions):
        left = set(kept)
        filtered[name] = sum(index.groups[position].members for position in positions if position not in left)
    return kept


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_IN_ERRORS} more" if len(names) > NAMED_IN_ERRORS else ""
    return (", ".join(names[:NAMED_IN_ERRORS]) or "none") + more


LONGEST_CASCADE = 3


def own_tier(agent: AgentInfo, tiers: Mapping[Tier, TierInfo]) -> Tier:
    """Returns the tier of the model that the manifest names, else the manifest's tier, else `standard`."""
    if agent.model:
        for tier, info in tiers.items():
            if info.model == agent.model:
                return tier
    preferred: tuple[Tier, ...] = (agent.tier, "standard")  # type: ignore[assignment]
    return next((tier for tier in preferred if tier in tiers), next(iter(tiers)))


def choose_tier(agent: AgentInfo, features: RequestFeatures, conditions: Conditions, rng: random.Random) -> TierChoice:
    """Returns the tier for this agent's turn. If every tier is filtered, the agent's own stays."""
    tiers, policy = conditions.tiers, conditions.policy
    if not tiers:
        return TierChoice()
    own = policy.tiers.get(agent.manifest) or own_tier(agent, tiers)
    own = own if own in tiers else own_tier(agent, tiers)
    if len(tiers) == 1:
        return TierChoice(tier=own)
    cost = {tier: info.cost_usd(features.prompt_tokens, features.completion_tokens) for tier, info in tiers.items()}
    filtered = _filtered(agent, features, conditions, cost, own)
    allowed = [tier for tier in tiers if tier not in filtered] or [own]
    pinned = policy.models == "manifest" or agent.manifest in policy.tiers
    quality: Mapping[Tier, float] = {}
    if (not pinned or policy.cascade or policy.explore) and conditions.scorer is not None:
        quality = conditions.scorer.qualities(features) or {}
    estimated = [tier for tier in allowed if tier in quality]
    if not estimated or (own in allowed and own not in estimated):
        # Nobody can tell what another tier would lose against the manifest's own.
        kept = own if own in allowed else min(allowed, key=cost.__getitem__)
        return TierChoice(tier=kept, filtered=filtered)
    scores = tuple(
        TierScore(tier=tier, model=info.model, quality=quality.get(tier, 0.0), cost_usd=cost[tier])
        for tier, info in tiers.items()
    )
    tier = own if pinned and own in estimated else _picked(estimated, quality, cost, conditions)
    if policy.explore and len(estimated) > 1 and rng.random() < policy.explore:
        others = [other for other in estimated if other != tier]
        return TierChoice(tier=rng.choice(others), explored=True, scores=scores, filtered=filtered)
    cascade = _cascade(tier, estimated, quality, cost) if policy.cascade else ()
    return TierChoice(tier=tier, cascade=cascade, scores=scores, filtered=filtered)


def _filtered(
    agent: AgentInfo, features: RequestFeatures, conditions: Conditions, cost: Mapping[Tier, float], own: Tier
) -> dict[str, str]:
    reasons: dict[str, str] = {}
    needed = features.prompt_tokens + features.completion_tokens
    left = conditions.budget_left_usd(agent)
    for tier, info in conditions.tiers.items():
        if info.context_tokens is not None and needed > info.context_tokens:
            reasons[tier] = f"context of {info.context_tokens} tokens is less than about {needed}"
        elif tier_subject(tier) in conditions.open_breakers:
            reasons[tier] = "its endpoint keeps failing"
        elif left is not None and cost[tier] > left:
            reasons[tier] = f"about {cost[tier]:.6f} USD is more than the budget has left"
        elif cost[tier] > cost[own] and not conditions.policy.dearer:
            reasons[tier] = f"dearer than the manifest's {own}"
    return reasons


def _picked(
    allowed: list[Tier], quality: Mapping[Tier, float], cost: Mapping[Tier, float], conditions: Conditions
) -> Tier:
    best = max(quality[tier] for tier in allowed)
    if conditions.policy.models == "best":
        return min((tier for tier in allowed if quality[tier] == best), key=cost.__getitem__)
    good = [tier for tier in allowed if quality[tier] >= conditions.policy.quality_floor * best]
    return min(good, key=lambda tier: (cost[tier], -quality[tier]))


def _cascade(
    last: Tier, allowed: list[Tier], quality: Mapping[Tier, float], cost: Mapping[Tier, float]
) -> tuple[Tier, ...]:
    """Puts cheaper tiers first if that is expected to pay: cost(cheap) < P(cheap is right) * cost(dear).

    P is the ratio of the two qualities: the share of what the dear tier can answer that the cheap one can.
    """
    chain = [last]
    for tier in sorted((tier for tier in allowed if cost[tier] < cost[last]), key=lambda tier: -cost[tier]):
        dear = chain[0]
        if cost[tier] < min(1.0, quality[tier] / max(quality[dear], 1e-9)) * cost[dear]:
            chain.insert(0, tier)
    return tuple(chain[-LONGEST_CASCADE:]) if len(chain) > 1 else ()


NEAR = 0.05
"""Candidates whose scores lie this close to the best one's are near equals."""

RETRY_AFTER_S = 1.0
SAMPLE = 8
"""Agents looked at in a larger group of equals: enough to spread turns evenly, and a bound on the time."""

ENOUGH = 128
"""Candidates after which the search stops; groups are searched best fit first."""

DEFAULT_CONDITIONS = Conditions()


@dataclass
class _Search:
    """Candidates near the best so far, and counts of the agents that were passed over."""

    candidates: list[Candidate] = field(default_factory=list)
    best: float = 0.0
    full: int = 0
    excluded: int = 0
    members: int = 0


def route(
    index: FleetIndex,
    *,
    target: Target,
    features: RequestFeatures,
    inflight: Mapping[str, int],
    tenant: str,
    rng: random.Random,
    exclude: frozenset[str] = frozenset(),
    conditions: Conditions = DEFAULT_CONDITIONS,
) -> Decision:
    """Picks an agent and the model tier it uses.

    Args:
        inflight: turns that this caller has running, by agent id.
        exclude: incarnations that must not be asked (lost or busy ones).

    Raises:
        NotFound: the target names no pool or agent that this tenant may see, or no agent has a requested capability;
            the message lists the known ones.
        FleetBusy: all candidates are full, excluded, or not ready; carries `retry_after_s`.
    """
    began = time.perf_counter_ns()
    named = named_groups(index, target, tenant)
    positions, filtered = able_groups(index, named, features, conditions)
    fit_of, router = _fits(index, positions, features, conditions)
    search = _search(index, positions, fit_of, target, inflight, exclude, conditions, rng)
    filtered |= {"full": search.full, "excluded": search.excluded}
    if not search.candidates:
        raise _busy(target, search.members, filtered)
    near = [candidate for candidate in search.candidates if candidate.score >= search.best - NEAR]
    picked = _pick(near, rng)
    reasons = (
        f"score {picked.score:.3f} of best {search.best:.3f}",
        f"headroom {picked.headroom:.2f}",
        f"{len(near)} near equals of {len(search.candidates)} candidates",
    )
    return Decision(
        agent=picked.agent,
        score=picked.score,
        reasons=reasons,
        filtered=filtered,
        candidates=tuple(search.candidates),
        tier=choose_tier(picked.agent, features, conditions, rng),
        router=router,
        policy=conditions.policy.models,
        microseconds=(time.perf_counter_ns() - began) // 1000,
    )


def _fits(
    index: FleetIndex, positions: list[int], features: RequestFeatures, conditions: Conditions
) -> tuple[Sequence[float], str]:
    """Returns the fit of each group, and who scored. A single group is not scored: only headroom tells its agents
    apart."""
    scorer = conditions.scorer
    if len(positions) < 2:
        return (), "rules" if scorer is None else scorer.name
    learned = scorer.fits(index, features) if scorer is not None else None
    if learned is None or scorer is None:
        return index.fits_by_words(features), "rules"
    if len(positions) == len(learned):
        return learned, scorer.name
    # Filtered groups are no alternatives: the likelihoods of the others must sum to 1 again.
    total = sum(map(learned.__getitem__, positions)) or 1.0
    return [fit / total for fit in learned], scorer.name


def _search(
    index: FleetIndex,
    positions: list[int],
    fit_of: Sequence[float],
    target: Target,
    inflight: Mapping[str, int],
    exclude: frozenset[str],
    conditions: Conditions,
    rng: random.Random,
) -> _Search:
    policy, pace, partner = conditions.policy, conditions.pace, conditions.partner
    lift = policy.load_weight + (policy.affinity if partner else 0.0)
    # Best fit first: the search ends where no headroom could lift a group near the best.
    ranked = sorted(positions, key=fit_of.__getitem__, reverse=True) if fit_of else _rotated(positions, rng)
    search = _Search()
    for position in ranked:
        fit = fit_of[position] if fit_of else 0.0
        if policy.fit_weight * fit + lift < search.best - NEAR or len(search.candidates) >= ENOUGH:
            break
        group = index.groups[position]
        search.members += group.members
        rows = ready_rows(group, target)
        if len(rows) > SAMPLE:
            rows = _sample(rows, inflight, exclude, partner, rng)
        for agent, agent_id, incarnation, slots in rows:
            turns = inflight.get(agent_id, 0)
            if turns >= slots:
                search.full += 1
            elif incarnation in exclude:
                search.excluded += 1
            else:
                headroom = (1.0 - turns / slots) * pace.get(agent_id, 1.0)
                affinity = policy.affinity if agent_id == partner else 0.0
                score = policy.fit_weight * fit + policy.load_weight * headroom + affinity
                if score >= search.best - NEAR:
                    search.candidates.append(Candidate(score, fit, headroom, affinity, agent))
                    if score > search.best:
                        search.best = score
    return search


def _rotated(positions: list[int], rng: random.Random) -> list[int]:
    """Starts at a random group if not all are searched, so that each comes first equally often."""
    if len(positions) <= ENOUGH:
        return positions
    start = rng.randrange(len(positions))
    return positions[start:] + positions[:start]


def _sample(
    rows: tuple[SlotRow, ...], inflight: Mapping[str, int], exclude: frozenset[str], partner: str, rng: random.Random
) -> tuple[SlotRow, ...]:
    """Returns a few of many equal agents, or all of them if none of the few is free."""
    few = tuple(rng.sample(rows, SAMPLE))
    if partner:
        few += tuple(row for row in rows if row[1] == partner and row not in few)
    if any(inflight.get(agent_id, 0) < slots and incarnation not in exclude for _, agent_id, incarnation, slots in few):
        return few
    return rows


def _pick(near: list[Candidate], rng: random.Random) -> Candidate:
    """Returns the conversation's partner, else the candidate with most headroom, and a random one of equals.

    A caller knows its own turns alone, and knows them exactly. So the least of its own turns is the best choice, and
    the random tie keeps several callers from meeting at one agent ("local shortest queue", Vargaftik et al. 2020). The
    better of two random candidates pays where all callers share one stale view; here it refuses more turns (decision
    11 has the figures).
    """
    for candidate in near:
        if candidate.affinity:
            return candidate
    most = max(candidate.headroom for candidate in near)
    return rng.choice([candidate for candidate in near if candidate.headroom == most])


def _busy(target: Target, members: int, filtered: dict[str, int]) -> FleetBusy:
    details = {"filtered": filtered}
    if members == 0:
        return FleetBusy(f"{target}: no agent is up yet.", retry_after_s=5.0, details=details)
    message = f"{target}: no agent is free ({filtered['full']} of {members} are full). Try again shortly."
    return FleetBusy(message, retry_after_s=RETRY_AFTER_S, details=details)
