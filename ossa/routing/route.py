"""One decision."""

from __future__ import annotations

import random
from collections.abc import Mapping

from ossa.contracts.errors import FleetBusy
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Target
from ossa.routing.decision import Decision
from ossa.routing.features import RequestFeatures
from ossa.routing.filters import named_groups, wanted_seats
from ossa.routing.index import FleetIndex, Seat
from ossa.routing.scorers import FIT_WEIGHT, ROOM_WEIGHT, fits

NEAR = 0.05
RETRY_AFTER_S = 1.0
SAMPLE = 8
"""Of a larger group of equal agents so many are looked at: enough for an even load, and a bound on the time."""

Candidate = tuple[float, float, AgentInfo]
"""(score, room, agent)"""


def route(
    index: FleetIndex,
    *,
    target: Target,
    features: RequestFeatures,
    inflight: Mapping[str, int],
    tenant: str,
    rng: random.Random,
    exclude: frozenset[str] = frozenset(),
) -> Decision:
    """Pick an agent.

    Args:
        inflight: turns this caller has running, by agent id.
        exclude: incarnations not to be asked (lost or busy ones).

    Raises:
        NotFound: the target names no pool or agent this tenant may see; the message lists the known ones.
        FleetBusy: all that could do it are full, excluded, or not ready; carries `retry_after_s`.
    """
    positions = named_groups(index, target, tenant)
    fit_of = fits(index, features) if len(positions) > 1 else {}
    # Best fit first: once no room could lift a group to the best one's neighbourhood, the rest need no look.
    positions = sorted(positions, key=lambda position: -fit_of.get(position, 0.0)) if fit_of else positions
    candidates: list[Candidate] = []
    best = 0.0
    full = excluded = members = 0
    for position in positions:
        fit = FIT_WEIGHT * fit_of.get(position, 0.0)
        if fit + ROOM_WEIGHT < best - NEAR:
            break
        group = index.groups[position]
        members += group.members
        seats = wanted_seats(group, target)
        if len(seats) > SAMPLE:
            seats = _sample(seats, inflight, exclude, rng)
        for agent, agent_id, incarnation, slots in seats:
            turns = inflight.get(agent_id, 0)
            if turns >= slots:
                full += 1
            elif incarnation in exclude:
                excluded += 1
            else:
                free = 1.0 - turns / slots
                score = fit + ROOM_WEIGHT * free
                if score >= best - NEAR:
                    candidates.append((score, free, agent))
                    best = max(best, score)
    filtered = {"full": full, "excluded": excluded}
    if not candidates:
        raise _busy(target, members, filtered)
    return _pick(candidates, best, rng, filtered)


def _sample(
    seats: tuple[Seat, ...], inflight: Mapping[str, int], exclude: frozenset[str], rng: random.Random
) -> tuple[Seat, ...]:
    """A few of many equal agents, and all of them when none of the few is free."""
    few = tuple(rng.sample(seats, SAMPLE))
    if any(inflight.get(agent_id, 0) < slots and incarnation not in exclude for _, agent_id, incarnation, slots in few):
        return few
    return seats


def _pick(candidates: list[Candidate], best: float, rng: random.Random, filtered: dict[str, int]) -> Decision:
    near = [candidate for candidate in candidates if candidate[0] >= best - NEAR]
    score, free, agent = _less_loaded(near, rng)
    reasons = (
        f"score {score:.3f} of best {best:.3f}",
        f"room {free:.2f}",
        f"{len(near)} near equals of {len(candidates)} candidates",
    )
    return Decision(agent=agent, score=score, reasons=reasons, filtered=filtered)


def _less_loaded(near: list[Candidate], rng: random.Random) -> Candidate:
    """Power of two choices: nearly as even as asking all, without all replicas rushing to one agent."""
    if len(near) == 1:
        return near[0]
    first = rng.randrange(len(near))
    second = rng.randrange(len(near) - 1)
    if second >= first:
        second += 1
    one, other = near[first], near[second]
    return one if one[1] >= other[1] else other


def _busy(target: Target, members: int, filtered: dict[str, int]) -> FleetBusy:
    if members == 0:
        return FleetBusy(f"{target}: no agent is up yet.", retry_after_s=5.0, details={"filtered": filtered})
    return FleetBusy(
        f"{target}: no agent is free ({filtered['full']} of {members} are full). Try again shortly.",
        retry_after_s=RETRY_AFTER_S,
        details={"filtered": filtered},
    )
