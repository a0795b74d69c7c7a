"""Checks secrets against a short-lived cache, or the store."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from ossa.contracts.access import ApiKey, Principal
from ossa.contracts.errors import StoreUnavailable, Unauthenticated
from ossa.contracts.stores import KeyStore
from ossa.tenancy.keys import SHOWN_CHARACTERS, digest, looks_like_key

logger = logging.getLogger(__name__)
V = TypeVar("V")

CACHED_KEYS = 10_000
CACHED_MISSES = 10_000


@dataclass(frozen=True)
class _Known:
    digest: bytes
    key: ApiKey
    principal: Principal
    checked_at: float


class KeyRing:
    """Maps secrets to principals.

    A checked key is valid for `cache_s` seconds, so a revocation takes effect within that time. Past half of it the key
    is checked again in the background, so a busy key never waits for the store. Unknown secrets are remembered equally
    long, in a bounded table.

    Args:
        clock: monotonic seconds.
        now: wall clock, for expiry.
    """

    def __init__(
        self,
        store: KeyStore,
        *,
        cache_s: float,
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._cache_s = cache_s
        self._clock = clock
        self._now = now
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._missing: OrderedDict[bytes, float] = OrderedDict()
        self._checks: dict[bytes, asyncio.Task[Principal | None]] = {}

    async def verify(self, secret: str | None) -> Principal:
        """Returns the principal. Raises `Unauthenticated`; `StoreUnavailable` if an uncached key cannot be checked."""
        if not secret:
            raise Unauthenticated("An API key is required: send `Authorization: Bearer KEY` or `X-API-Key: KEY`.")
        if not looks_like_key(secret):
            raise Unauthenticated("The API key is not valid.")
        secret_digest = digest(secret)
        principal = self._cached(secret_digest)
        if principal is None and not self._is_missing(secret_digest):
            principal = await asyncio.shield(self._check(secret, secret_digest))
        if principal is None:
            raise Unauthenticated("The API key is not valid.")
        return principal

    def forget(self) -> None:
        """Empties the cache, after a key was created or revoked here."""
        self._known.clear()
        self._missing.clear()

    def _cached(self, secret_digest: bytes) -> Principal | None:
        known = self._known.get(secret_digest)
        if known is None or not hmac.compare_digest(known.digest, secret_digest):
            return None
        age = self._clock() - known.checked_at
        if age > self._cache_s or not self._is_valid(known.key):
            self._known.pop(secret_digest, None)
            return None
        if age > self._cache_s / 2:
            self._check(None, secret_digest)
        return known.principal

    def _is_missing(self, secret_digest: bytes) -> bool:
        since = self._missing.get(secret_digest)
        return since is not None and self._clock() - since <= self._cache_s

    def _check(self, secret: str | None, secret_digest: bytes) -> asyncio.Task[Principal | None]:
        """Starts a check, or returns the one that runs for this secret."""
        running = self._checks.get(secret_digest)
        if running is not None:
            return running
        task = asyncio.create_task(self._look_up(secret, secret_digest), name="key-check")
        self._checks[secret_digest] = task
        task.add_done_callback(lambda done: self._checked(secret_digest, done))
        return task

    def _checked(self, secret_digest: bytes, done: asyncio.Task[Principal | None]) -> None:
        self._checks.pop(secret_digest, None)
        if done.cancelled():
            return
        error = done.exception()
        if error is not None and not isinstance(error, StoreUnavailable):
            logger.error("key_check_failed", exc_info=error)

    async def _look_up(self, secret: str | None, secret_digest: bytes) -> Principal | None:
        # The clock is read before the store, so that an entry never counts as younger than it is.
        asked_at = self._clock()
        key = await self._store.find(secret_digest)
        shown_matches = key is not None and (
            secret is None or hmac.compare_digest(secret[:SHOWN_CHARACTERS].encode(), key.prefix.encode())
        )
        if key is None or not shown_matches or not self._is_valid(key):
            self._known.pop(secret_digest, None)
            _remember(self._missing, secret_digest, asked_at, CACHED_MISSES)
            return None
        principal = Principal(key_id=key.id, tenant=key.tenant, scopes=key.scopes)
        _remember(self._known, secret_digest, _Known(secret_digest, key, principal, asked_at), CACHED_KEYS)
        return principal

    def _is_valid(self, key: ApiKey) -> bool:
        if key.revoked_at is not None:
            return False
        return key.expires_at is None or key.expires_at > self._now()


def _remember(table: OrderedDict[bytes, V], name: bytes, value: V, bound: int) -> None:
    table[name] = value
    table.move_to_end(name)
    while len(table) > bound:
        table.popitem(last=False)
