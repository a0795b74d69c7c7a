"""The leases under which this replica owns tasks."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Protocol

from ossa.contracts.errors import NotReady, StoreUnavailable
from ossa.contracts.stores import Journal
from ossa.gateway.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

SAFETY = 0.9
"""Share of the lease's time after which its tasks stop, so that they have stopped when others may take them."""


class Stoppable(Protocol):
    def lose(self) -> None:
        """Stop without writing: the task belongs to someone else, or will."""


class Lease:
    """One owner id, how long it is good for, and what runs under it."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.good_until = float("-inf")
        self.held = False
        self.retiring = False
        self.running: set[Stoppable] = set()


class Leases:
    """The current lease and those that end.

    A lease is left behind (`doubt`) when a write that gives it a task may or
    may not have been committed: it is kept up while its known tasks run and
    retired afterwards, so that a task nobody here knows of is claimed again.
    A lease that could not be renewed in time is dropped, its tasks stop, and
    its owner id is never used again.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        name: str,
        ttl_s: float,
        renew_s: float,
        clock: Callable[[], float],
        metrics: GatewayMetrics,
    ) -> None:
        self._journal = journal
        self._name = name
        self._ttl_s = ttl_s
        self._renew_s = renew_s
        self._clock = clock
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._current = self._fresh()
        self._all: list[Lease] = [self._current]

    @property
    def all(self) -> tuple[Lease, ...]:
        return tuple(self._all)

    @property
    def held(self) -> bool:
        return self._is_good(self._current)

    def current(self) -> Lease:
        """Raises `NotReady` while there is none (the store is away, or did not answer yet)."""
        if not self._is_good(self._current):
            raise NotReady("The gateway holds no lease on the journal at the moment.", retry_after_s=1.0)
        return self._current

    def doubt(self, lease: Lease) -> None:
        """A write that gives this lease a task did not answer."""
        lease.retiring = True
        if lease is self._current:
            self._replace_current()

    async def run_forever(self) -> None:
        """Renew for ever."""
        while True:
            await self.round()
            self._wake.clear()
            if self.held:
                await self._sleep(self._renew_s)
            else:
                await self._sleep(min(0.2, self._renew_s))

    async def round(self) -> None:
        """Renew, retire or drop each lease once."""
        for lease in self.all:
            try:
                await self._tend(lease)
            except (StoreUnavailable, TimeoutError):
                self._metrics.journal_errors.labels("renew").inc()
            self._drop_if_lost(lease)

    async def retire_all(self) -> None:
        """At shutdown: what still runs under them becomes claimable at once."""
        for lease in self.all:
            self._all.remove(lease)
            try:
                async with asyncio.timeout(self._ttl_s):
                    await self._journal.retire(lease.owner)
            except (StoreUnavailable, TimeoutError):
                logger.warning("lease_retire_failed", extra={"owner": lease.owner})

    async def _tend(self, lease: Lease) -> None:
        asked_at = self._clock()
        left_s = lease.good_until - asked_at if lease.held else self._ttl_s
        async with asyncio.timeout(max(0.05, min(left_s, self._ttl_s / 2))):
            if lease.retiring and not lease.running:
                await self._journal.retire(lease.owner)
                self._all.remove(lease)
                return
            await self._journal.renew(lease.owner, ttl_s=self._ttl_s)
        lease.good_until = asked_at + self._ttl_s * SAFETY
        lease.held = True

    def _drop_if_lost(self, lease: Lease) -> None:
        if lease not in self._all or not lease.held or self._is_good(lease):
            return
        logger.warning("lease_lost", extra={"owner": lease.owner, "tasks": len(lease.running)})
        self._metrics.leases_lost.inc()
        self._all.remove(lease)
        if lease is self._current:
            self._replace_current()
        for run in tuple(lease.running):
            run.lose()

    def _replace_current(self) -> None:
        self._current = self._fresh()
        self._all.append(self._current)
        self._wake.set()

    def _is_good(self, lease: Lease) -> bool:
        return self._clock() < lease.good_until

    def _fresh(self) -> Lease:
        return Lease(f"{self._name}-{secrets.token_hex(4)}")

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
