"""Agents and fleets for tests."""

from __future__ import annotations

from typing import Any

from ossa.contracts.fleet import AgentInfo, AgentState, FleetSnapshot, PoolInfo
from ossa.routing import FleetIndex


def agent(agent_id: str = "security-000", **fields: Any) -> AgentInfo:
    """A ready agent of the pool that its id names, with the manifest `POOL-agent`."""
    pool = agent_id.rpartition("-")[0] or agent_id
    defaults: dict[str, Any] = {
        "agent_id": agent_id,
        "incarnation": f"{agent_id}#1",
        "pool": pool,
        "manifest": f"{pool}-agent",
        "version": "1",
        "digest": "d",
        "state": AgentState.READY,
    }
    return AgentInfo(**{**defaults, **fields})


def fleet(*agents: AgentInfo, version: int = 1, **fields: Any) -> FleetSnapshot:
    """A snapshot of these agents; each pool wants one."""
    pools = tuple(PoolInfo(name=name, desired=1, ready=1) for name in dict.fromkeys(one.pool for one in agents))
    return FleetSnapshot(**{"version": version, "epoch": "e", "pools": pools, "agents": agents, **fields})


def index(*agents: AgentInfo) -> FleetIndex:
    return FleetIndex.of(fleet(*agents))
