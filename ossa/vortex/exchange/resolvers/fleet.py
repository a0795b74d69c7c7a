"""How resolvers see the fleet."""

from __future__ import annotations

from typing import Protocol

from ossa.contracts.fleet import FleetSnapshot


class SnapshotReader(Protocol):
    """The part of `ossa.contracts.fleet.FleetPort` that is needed."""

    def snapshot(self) -> FleetSnapshot:
        """The latest known; never blocks. Raises `NotReady` before the first."""
