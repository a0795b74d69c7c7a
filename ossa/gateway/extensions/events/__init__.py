"""The fact log: kept and measured, and exported to Kafka by one replica at a time."""

from __future__ import annotations

from ossa.contracts.configuration import EventSettings
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.events import api
from ossa.gateway.extensions.events.eventing import Eventing
from ossa.gateway.extensions.events.schemas import SCHEMAS
from ossa.gateway.hooks import Extension

NAME = "events"


def extension(core: GatewayCore, *, settings: EventSettings) -> Extension:
    """`settings`: those that the stores and `core.bus` were made with. Without a bus nothing is exported."""
    eventing = Eventing(core.log, core.bus, settings, core.metrics)
    return Extension(
        NAME,
        routers=[api.router],
        service=eventing,
        schemas=SCHEMAS,
        loops=eventing.loops(),
        close=eventing.close,
    )
