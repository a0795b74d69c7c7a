"""Pools whose agents have nothing to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from ossa.contracts.fleet import PoolInfo
from ossa.contracts.spending import Spent
from ossa.cost.optimiser.proposal import Proposal

IDLE_DAYS = 3
"""Whole days without a task."""

KEPT = 1
"""Agents that stay, so that the pool still answers."""


def idle_proposals(
    spent: Sequence[Spent], pools: Sequence[PoolInfo], *, today: date, agent_month_usd: float | None
) -> list[Proposal]:
    """Only when others worked in those days: a fleet that nobody uses is nobody's saving.

    Args:
        agent_month_usd: of the machine under one agent; None: not known.
    """
    since = today - timedelta(days=IDLE_DAYS)
    known_before = any(one.day < since and one.tasks for one in spent)
    used = {one.pool for one in spent if one.day >= since and one.tasks}
    if not used or not known_before:
        return []
    return [
        Proposal(
            id=f"idle:{pool.name}:{since.isoformat()}",
            kind="idle",
            subject=pool.name,
            title=f"{pool.ready} agents of pool {pool.name} had no task for {IDLE_DAYS} days",
            saving_usd_month=None if agent_month_usd is None else (pool.ready - KEPT) * agent_month_usd,
            evidence={"agents": pool.ready, "tasks": 0, "since": since.isoformat()},
            apply=f"the pool is scaled to {KEPT}",
            change={"pool": pool.name, "agents": KEPT},
        )
        for pool in pools
        if pool.ready > KEPT and pool.desired > KEPT and pool.name not in used
    ]
