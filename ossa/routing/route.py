"""One decision."""

from __future__ import annotations

import random
from collections.abc import Mapping

from ossa.contracts.errors import FleetBusy
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Target
from ossa.routing.decision import Decision
from ossa.routing.features import RequestFeatures
from ossa.routing.filters import named_groups, wanted_agents
from ossa.routing.index import FleetIndex
from ossa.routing.scorers import FIT_WEIGHT, ROOM_WEIGHT, fits

NEAR = 0.05
RETRY_AFTER_S = 1.0

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
    candidates: list[Candidate] = []
    full = excluded = members = 0
    for position in positions:
        group = index.groups[position]
        members += group.members
        fit = FIT_WEIGHT * fit_of.get(position, 0.0)
        for agent in wanted_agents(group, target):
            turns = inflight.get(agent.agent_id, 0)
            if turns >= agent.slots:
                full += 1
            elif agent.incarnation in exclude:
                excluded += 1
            else:
                free = 1.0 - turns / agent.slots
                candidates.append((fit + ROOM_WEIGHT * free, free, agent))
    filtered = {"full": full, "excluded": excluded}
    if not candidates:
        raise _busy(target, members, filtered)
    return _pick(candidates, rng, filtered)


def _pick(candidates: list[Candidate], rng: random.Random, filtered: dict[str, int]) -> Decision:
    best = max(candidate[0] for candidate in candidates)
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
