"""How the fleet's processes share the connections that PostgreSQL has for them."""

from __future__ import annotations

from ossa.contracts.configuration import Database
from ossa.contracts.errors import InvalidRequest
from ossa.settings import Settings
from ossa.stores.postgres import LEAST_CONNECTIONS

SPARE = 5
"""For the start of a fleet, jobs, and an operator's own session."""

EMBEDDED_TOTAL = 90
"""The embedded server takes 100 of all kinds."""

_OTHERS = 2
"""The controller and the forecaster. Agents hold none, however many there are."""


def shared(settings: Settings, *, embedded: bool = False) -> Database:
    """The database's settings for one process: with a pool of which as many as there are processes fit the total.

    A share that would be too small for the journal's writers and one reader raises `InvalidRequest`.

    Args:
        embedded: the server is our own.
    """
    database = settings.database
    total = min(database.pool_total, EMBEDDED_TOTAL) if embedded else database.pool_total
    processes = holders(settings)
    share = (total - SPARE) // processes
    if share < LEAST_CONNECTIONS:
        raise InvalidRequest(
            f"{processes} processes need {LEAST_CONNECTIONS} connections to PostgreSQL each and {SPARE} to spare, and "
            f"{total} is all there are: {_remedy(embedded=embedded)}",
            param="database.pool_total",
        )
    return database.model_copy(update={"pool_max": min(database.pool_max, share)})


def holders(settings: Settings) -> int:
    """Processes that hold connections."""
    gateway = settings.gateway
    memory = settings.memory.replicas if settings.memory.enabled else 0
    return gateway.replicas + gateway.vortex_replicas + gateway.router_replicas + memory + _OTHERS


def _remedy(*, embedded: bool) -> str:
    fewer = (
        "lower OSSA_GATEWAY__REPLICAS (or OSSA_GATEWAY__VORTEX_REPLICAS, OSSA_GATEWAY__ROUTER_REPLICAS, "
        "OSSA_MEMORY__REPLICAS)"
    )
    if embedded:
        return f"{fewer}, or set OSSA_DATABASE__DSN to a server of your own."
    return f"raise OSSA_DATABASE__POOL_TOTAL (200 at most) or {fewer}."
