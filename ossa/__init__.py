"""OSSA on Ray: the few names a program that uses a fleet needs.

Importing this package is nearly free; each name is loaded when it is first used, because every agent
process imports `ossa` and none of them needs a client.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` for it would cost more than all the rest

if TYPE_CHECKING:
    from typing import Any

    from ossa.contracts.agent_spec import AgentSpec
    from ossa.contracts.errors import (
        Cancelled,
        Conflict,
        FleetBusy,
        Forbidden,
        InvalidRequest,
        LimitExceeded,
        ManifestError,
        NotFound,
        NotReady,
        OssaError,
        TimedOut,
        Unauthenticated,
    )
    from ossa.sdk.async_client import AsyncClient
    from ossa.sdk.client import Client
    from ossa.sdk.connecting import connect, connect_async
    from ossa.sdk.errors import Unreachable

_HOMES = {
    "AgentSpec": "ossa.contracts.agent_spec",
    "AsyncClient": "ossa.sdk.async_client",
    "Cancelled": "ossa.contracts.errors",
    "Client": "ossa.sdk.client",
    "Conflict": "ossa.contracts.errors",
    "FleetBusy": "ossa.contracts.errors",
    "Forbidden": "ossa.contracts.errors",
    "InvalidRequest": "ossa.contracts.errors",
    "LimitExceeded": "ossa.contracts.errors",
    "ManifestError": "ossa.contracts.errors",
    "NotFound": "ossa.contracts.errors",
    "NotReady": "ossa.contracts.errors",
    "OssaError": "ossa.contracts.errors",
    "TimedOut": "ossa.contracts.errors",
    "Unauthenticated": "ossa.contracts.errors",
    "Unreachable": "ossa.sdk.errors",
    "connect": "ossa.sdk.connecting",
    "connect_async": "ossa.sdk.connecting",
}

__all__ = [
    "AgentSpec",
    "AsyncClient",
    "Cancelled",
    "Client",
    "Conflict",
    "FleetBusy",
    "Forbidden",
    "InvalidRequest",
    "LimitExceeded",
    "ManifestError",
    "NotFound",
    "NotReady",
    "OssaError",
    "TimedOut",
    "Unauthenticated",
    "Unreachable",
    "connect",
    "connect_async",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ossa' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
