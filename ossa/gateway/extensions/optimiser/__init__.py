"""What work costs, and the optimiser that proposes and applies savings."""

from __future__ import annotations

from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.optimiser import api
from ossa.gateway.extensions.optimiser.optimiser import Optimiser
from ossa.gateway.extensions.optimiser.schemas import COST_MODELS
from ossa.gateway.hooks import Extension

NAME = "optimiser"


def extension(core: GatewayCore) -> Extension:
    """Cost reports, and proposals that settings or an admin approve."""
    optimiser = Optimiser(
        core.stores, core.fleet, core.settings, tiers=core.tiers, operator_tenant=core.operator_tenant
    )
    return Extension(
        NAME,
        routers=[api.router],
        service=optimiser,
        schemas=tuple(COST_MODELS.values()),
        loops={"optimiser": optimiser.run_forever},
    )
