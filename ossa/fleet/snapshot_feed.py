"""The latest snapshot, and waiting for the next."""

from __future__ import annotations

import asyncio

from ossa.contracts.fleet import FleetSnapshot


class SnapshotFeed:
    """Versions grow with every change; they start from the clock, so that they grow over a restart too."""

    def __init__(self, epoch: str, first_version: int) -> None:
        self._epoch = epoch
        self._next = first_version
        self._latest: FleetSnapshot | None = None
        self._encoded: bytes | None = None
        self._changed = asyncio.Event()

    @property
    def latest(self) -> FleetSnapshot | None:
        return self._latest

    def publish(self, snapshot: FleetSnapshot) -> None:
        """Its `version` and `epoch` are set here; one that says nothing new is not posted."""
        if self._latest is not None:
            same = snapshot.model_copy(update={"version": self._latest.version, "epoch": self._epoch})
            if same == self._latest:
                return
        self._latest = snapshot.model_copy(update={"version": self._next, "epoch": self._epoch})
        self._next += 1
        self._encoded = None
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, version: int, timeout_s: float) -> bytes | None:
        """The latest snapshot as JSON once it is newer than `version`; None when the time is over before."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self._latest is None or self._latest.version <= version:
            try:
                async with asyncio.timeout_at(end):
                    await self._changed.wait()
            except TimeoutError:
                return None
        if self._encoded is None:
            self._encoded = self._latest.model_dump_json().encode()
        return self._encoded
