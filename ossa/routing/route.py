"""One decision."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ossa.contracts.errors import FleetBusy
from ossa.contracts.task import Target
from ossa.routing.conditions import Conditions
from ossa.routing.decision import Candidate, Decision
from ossa.routing.features import RequestFeatures
from ossa.routing.filters import able_groups, named_groups, wanted_seats
from ossa.routing.index import FleetIndex, SlotRow
from ossa.routing.scorers import fits
from ossa.routing.tiers import choose_tier

NEAR = 0.05
RETRY_AFTER_S = 1.0
SAMPLE = 8
"""Of a larger group of equal agents so many are looked at: enough for an even load, and a bound on the time."""

ENOUGH = 128
"""Near equals, best fit first: two of so many are as good as two of all."""

USUAL = Conditions()


@dataclass
class _Search:
    """Candidates near the best so far, and what was passed over."""

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
    conditions: Conditions = USUAL,
) -> Decision:
    """Pick an agent and the model tier it uses.

    Args:
        inflight: turns this caller has running, by agent id.
        exclude: incarnations not to be asked (lost or busy ones).

    Raises:
        NotFound: the target names no pool or agent this tenant may see, or nobody has a capability that the request
            asks for; the message lists the known ones.
        FleetBusy: all that could do it are full, excluded, or not ready; carries `retry_after_s`.
    """
    began = time.perf_counter_ns()
    named = named_groups(index, target, tenant)
    positions, filtered = able_groups(index, named, features, conditions)
    fit_of, router = _fits(index, positions, features, conditions)
    search = _search(index, positions, fit_of, target, inflight, exclude, conditions, rng)
    filtered |= {"full": search.full, "excluded": search.excluded}
    if not search.candidates:
        raise _busy(target, search.members, filtered)
    near = [one for one in search.candidates if one.score >= search.best - NEAR]
    picked = _less_loaded(near, rng)
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
    """By position, and who said so. Nobody is asked where there is one group: its agents differ in their load alone."""
    scorer = conditions.scorer
    if len(positions) < 2:
        return (), "rules" if scorer is None else scorer.name
    learned = scorer.fits(index, features) if scorer is not None else None
    if learned is None or scorer is None:
        return fits(index, features), "rules"
    if len(positions) == len(learned):
        return learned, scorer.name
    # Of the groups that may do it one will: a pool that fits badly as a whole still has one that fits best.
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
    # Best fit first: once nothing could lift a group to the best one's neighbourhood, the rest need no look.
    ranked = sorted(positions, key=fit_of.__getitem__, reverse=True) if fit_of else _rotated(positions, rng)
    found = _Search()
    for position in ranked:
        fit = fit_of[position] if fit_of else 0.0
        if policy.fit_weight * fit + lift < found.best - NEAR or len(found.candidates) >= ENOUGH:
            break
        group = index.groups[position]
        found.members += group.members
        seats = wanted_seats(group, target)
        if len(seats) > SAMPLE:
            seats = _sample(seats, inflight, exclude, partner, rng)
        for agent, agent_id, incarnation, slots in seats:
            turns = inflight.get(agent_id, 0)
            if turns >= slots:
                found.full += 1
            elif incarnation in exclude:
                found.excluded += 1
            else:
                headroom = (1.0 - turns / slots) * pace.get(agent_id, 1.0)
                near = policy.affinity if agent_id == partner else 0.0
                score = policy.fit_weight * fit + policy.load_weight * headroom + near
                if score >= found.best - NEAR:
                    found.candidates.append(Candidate(score, fit, headroom, near, agent))
                    if score > found.best:
                        found.best = score
    return found


def _rotated(positions: list[int], rng: random.Random) -> list[int]:
    """Where all are equal and not all are looked at, each is looked at first as often as the others."""
    if len(positions) <= ENOUGH:
        return positions
    start = rng.randrange(len(positions))
    return positions[start:] + positions[:start]


def _sample(
    seats: tuple[SlotRow, ...], inflight: Mapping[str, int], exclude: frozenset[str], partner: str, rng: random.Random
) -> tuple[SlotRow, ...]:
    """A few of many equal agents, and all of them when none of the few is free."""
    few = tuple(rng.sample(seats, SAMPLE))
    if partner:
        few += tuple(seat for seat in seats if seat[1] == partner and seat not in few)
    if any(inflight.get(agent_id, 0) < slots and incarnation not in exclude for _, agent_id, incarnation, slots in few):
        return few
    return seats


def _less_loaded(near: list[Candidate], rng: random.Random) -> Candidate:
    """Power of two choices: nearly as even as asking all, without all replicas rushing to one agent."""
    partners = [one for one in near if one.affinity]
    if partners:
        return partners[0]
    if len(near) == 1:
        return near[0]
    first = rng.randrange(len(near))
    second = rng.randrange(len(near) - 1)
    if second >= first:
        second += 1
    one, other = near[first], near[second]
    return one if one.headroom >= other.headroom else other


def _busy(target: Target, members: int, filtered: dict[str, int]) -> FleetBusy:
    if members == 0:
        return FleetBusy(f"{target}: no agent is up yet.", retry_after_s=5.0, details={"filtered": filtered})
    return FleetBusy(
        f"{target}: no agent is free ({filtered['full']} of {members} are full). Try again shortly.",
        retry_after_s=RETRY_AFTER_S,
        details={"filtered": filtered},
    )
