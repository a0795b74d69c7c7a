"""`{STATE:agent:AGENT_ID:state}` and other values of an agent, read from the fleet's latest snapshot.

STATE    state, slots
CONTEXT  description, capabilities, card (who it is, in a sentence)
DATA     pool, manifest, version, tier
"""

from __future__ import annotations

from dataclasses import dataclass

from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import AgentInfo
from ossa.vortex.exchange.call import ResolveCall
from ossa.vortex.exchange.placeholder import PlaceholderType
from ossa.vortex.exchange.resolvers.fields import Fields, read
from ossa.vortex.exchange.resolvers.fleet import SnapshotReader

FIELDS: Fields[AgentInfo] = {
    PlaceholderType.STATE: {
        "state": lambda agent: str(agent.state),
        "slots": lambda agent: str(agent.slots),
    },
    PlaceholderType.CONTEXT: {
        "description": lambda agent: agent.description,
        "capabilities": lambda agent: ", ".join(agent.capabilities),
        "card": lambda agent: _card(agent),
    },
    PlaceholderType.DATA: {
        "pool": lambda agent: agent.pool,
        "manifest": lambda agent: agent.manifest,
        "version": lambda agent: agent.version,
        "tier": lambda agent: agent.tier,
    },
}


@dataclass(frozen=True, slots=True)
class AgentResolver:
    """Another tenant's agent is as absent as one that never was. Addresses and process ids are not for prompts."""

    fleet: SnapshotReader

    async def __call__(self, call: ResolveCall) -> str:
        """Raises `NotFound`, `NotReady`."""
        for agent in self.fleet.snapshot().agents:
            if agent.agent_id == call.placeholder.scope and agent.tenant in (None, call.tenant):
                return read(FIELDS, call.placeholder, agent)
        raise NotFound(f"there is no agent {call.placeholder.scope}")


def _card(agent: AgentInfo) -> str:
    able = f" Capabilities: {', '.join(agent.capabilities)}." if agent.capabilities else ""
    return f"{agent.agent_id} ({agent.manifest} {agent.version}, pool {agent.pool}). {agent.description}{able}".strip()
