"""The rules of this fleet."""

from __future__ import annotations

from ossa.contracts.configuration import FleetSettings, ScalingSettings
from ossa.contracts.scaling import ScaleRules


def rules_of(scaling: ScalingSettings, fleet: FleetSettings) -> ScaleRules:
    """As the settings say, with the fleet's own blocks and standbys."""
    return scaling.rules.model_copy(update={"block_agents": fleet.block_agents, "standby": fleet.standby})
