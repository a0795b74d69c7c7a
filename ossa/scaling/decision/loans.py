"""Standbys that a pool borrows while it needs them, and returns when its own agents carry its turns.

Borrowing starts and ends no process and changes no size: a standby is given a manifest, which takes milliseconds. So it
needs no cool-down. The rules ask for agents as if nothing were borrowed (`read`): when the cool-down ends the pool gets
its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ossa.contracts.scaling import SAMPLE_S, ScaleRules, StartUp
from ossa.scaling.decision.blocks import bounds
from ossa.scaling.decision.fleet_bounds import share
from ossa.scaling.decision.proposal import Proposal


def borrow_standbys(
    proposals: Sequence[Proposal], standby: int, rules: ScaleRules, start_up: StartUp
) -> dict[str, int]:
    """Standbys a pool: what it needed in the last minute or is expected to need next, past its own agents.

    Those that are always held stay for agents that are lost. A pool never works with more than its ceiling, and one
    that cannot be seen keeps what it has.
    """
    wishes = {one.pool: _wish(one, rules, start_up) for one in proposals}
    return share(wishes, max(0, standby - rules.standby), 1)


def _wish(made: Proposal, rules: ScaleRules, start_up: StartUp) -> int:
    room = max(0, bounds(made.pool, rules).ceiling - made.forecast)
    if made.reading is None:
        return min(made.state.borrowed_standbys, room)
    turns = made.reading.recent
    if made.expectation is not None:
        turns = max(turns, made.expectation.held(start_up.agent_s + SAMPLE_S, rules.standby_quantile))
    return min(max(0, math.ceil(turns / made.reading.slots) - made.forecast), room)
