"""Pools of agents on Ray: reconcile, place, supervise. Agents import parts of this package, so it stays lazy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ossa.fleet.client import FleetClient
    from ossa.fleet.controller_actor import ControllerConfig, start_controller, stop_fleet

__all__ = ["ControllerConfig", "FleetClient", "start_controller", "stop_fleet"]

_HOMES = {
    "ControllerConfig": "ossa.fleet.controller_actor",
    "FleetClient": "ossa.fleet.client",
    "start_controller": "ossa.fleet.controller_actor",
    "stop_fleet": "ossa.fleet.controller_actor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
