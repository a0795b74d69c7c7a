"""The whole decision: reads samples, proposes sizes, fits them to the fleet, sizes standbys, updates the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ossa.contracts.scaling import PoolDecision, ScaleDecision, ScaleRules, StartUp
from ossa.scaling.decision.expectation import expect
from ossa.scaling.decision.fleet_bounds import fit
from ossa.scaling.decision.proposal import Proposal, propose
from ossa.scaling.decision.reading import SMOOTH_S, read
from ossa.scaling.decision.standbys import borrow_standbys, nodes_hint, standbys
from ossa.scaling.decision.state import PoolState, ScalerInput, ScalerState
from ossa.scaling.decision.triggers import after_emergency

MOST_REASONS = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """`state` goes into the next given."""

    decision: ScaleDecision
    state: ScalerState


def decide(
    given: ScalerInput, state: ScalerState, rules: ScaleRules, start_up: StartUp | None = None, *, dry_run: bool = False
) -> Verdict:
    """Decides the size of every pool in `given.sizes`. Raises nothing: unusable input is ignored, with a reason.

    Two changes of a pool are a cool-down apart, except for one emergency and for its floor. Borrowing a standby is no
    change. Agents and standbys together stay within `rules.fleet_ceiling`; if there were more, one block goes at a
    time. With forecasts no pool has fewer agents, and the fleet no fewer agents and standbys together, than without. A
    dry run decides the same.
    """
    start_up = start_up or StartUp()
    passed = state.passed(given.now)
    proposals = [_propose(given, pool, state.pool(pool, passed), rules, start_up) for pool in given.sizes]
    fit(proposals, rules)
    standby = standbys(proposals, given.standby, given.nodes, rules, start_up)
    borrowed = borrow_standbys(proposals, standby, rules, start_up)
    decision = ScaleDecision(
        at=given.now,
        pools=tuple(_pool_decision(proposal, borrowed[proposal.pool]) for proposal in proposals),
        standby=standby,
        nodes_hint=nodes_hint(proposals, standby, rules, start_up),
        by=_moved_by(proposals, standby, rules),
        forecasts=tuple(given.forecasts),
        dry_run=dry_run,
    )
    return Verdict(decision, _remember(given.now, proposals, {} if dry_run else borrowed, rules))


def _propose(given: ScalerInput, pool: str, state: PoolState, rules: ScaleRules, start_up: StartUp) -> Proposal:
    size = given.sizes[pool]
    samples = [sample for sample in given.samples if sample.pool == pool]
    forecasts = [forecast for forecast in given.forecasts if forecast.pool == pool]
    earlier = [forecast for forecast in given.earlier if forecast.pool == pool]
    window_s = max(rules.cooldown_s, SMOOTH_S)
    reading = read(samples, given.now, window_s, rules.calm_s, size, state.borrowed_standbys)
    expectation, doubt = expect(forecasts, earlier, reading, rules, given.now, given.peaks.get(pool, 0.0))
    made = propose(pool, size, reading, expectation, state, given.alerted(pool), rules, start_up)
    if doubt:
        made.reasons.append(doubt)
    return made


def _pool_decision(made: Proposal, borrowed: int) -> PoolDecision:
    return PoolDecision(
        pool=made.pool,
        agents=made.forecast,
        before=made.size,
        lent=borrowed,
        emergency=made.emergency and made.forecast > made.size,
        reasons=tuple(dict.fromkeys(made.reasons))[:MOST_REASONS],
    )


def _moved_by(
    proposals: Sequence[Proposal], standby: int, rules: ScaleRules
) -> Literal["nothing", "rules", "forecast", "emergency"]:
    moved = [proposal for proposal in proposals if proposal.forecast != proposal.size]
    if any(proposal.emergency for proposal in moved):
        return "emergency"
    if any(proposal.rules != proposal.size for proposal in moved):
        return "rules"
    return "forecast" if moved or standby > rules.standby else "nothing"


def _remember(
    now: datetime, proposals: Sequence[Proposal], borrowed: Mapping[str, int], rules: ScaleRules
) -> ScalerState:
    pools: dict[str, PoolState] = {}
    for proposal in proposals:
        changed = proposal.forecast != proposal.size
        kept = after_emergency(proposal.state, proposal.cause, proposal.emergency and changed, rules)
        cooldown = {"cooldown_s": rules.cooldown_s} if changed else {}
        pools[proposal.pool] = kept.model_copy(
            update={**cooldown, "shrink_to": _goes_on_to(proposal), "borrowed_standbys": borrowed.get(proposal.pool, 0)}
        )
    return ScalerState(at=now, pools=pools)


def _goes_on_to(made: Proposal) -> int | None:
    """Returns where a scale-in with blocks left to take ends. A raise or a hold has ended it."""
    waits = made.forecast == made.size == made.rules
    target = made.shrink_to
    if target is None or target >= made.forecast or not (waits or made.forecast < made.size):
        return None
    return target
