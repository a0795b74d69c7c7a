"""Chooses an agent for one request."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ossa.contracts.errors import FleetBusy
from ossa.contracts.task import Target
from ossa.routing.decision import Candidate, Conditions, Decision
from ossa.routing.features import RequestFeatures
from ossa.routing.filters import able_groups, named_groups, ready_rows
from ossa.routing.index import FleetIndex, SlotRow
from ossa.routing.tiers import choose_tier

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
