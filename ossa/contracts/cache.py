"""What a shared cache promises. `ossa.stores` keeps the promise; `tests/contract` holds every cache to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ossa.contracts.errors import InvalidRequest, PayloadTooLarge, StoreUnavailable

MAX_VALUE_BYTES = 2**20
"""A value larger than this is refused with `PayloadTooLarge`."""

MAX_TTL_S = 366 * 86_400.0


class CacheStore(Protocol):
    """Values that may be lost at any time, each a tenant's own.

    Whatever a tenant or a key is called, it names no entry of another tenant.
    Every method raises `StoreUnavailable` when the store does not answer in time.
    """

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        """The value; None when there is none, or its time is over."""

    async def set(self, key: str, value: bytes, *, tenant: str, ttl_s: float) -> None:
        """Keep or replace it for `ttl_s` seconds from now.

        Raises `PayloadTooLarge`, and `InvalidRequest` for a lifetime that is not a positive number.
        """

    async def drop(self, key: str, *, tenant: str) -> None:
        """Forget it; no error when there is none."""

    async def ping(self) -> None:
        """Raises `StoreUnavailable`."""

    async def close(self) -> None:
        """Let go of all connections; the cache can be used no more."""


class CacheGet(NamedTuple):
    tenant: str
    key: str


class CacheSet(NamedTuple):
    """`checked` makes it."""

    tenant: str
    key: str
    value: bytes
    lifetime_ms: int

    @classmethod
    def checked(cls, tenant: str, key: str, value: bytes, ttl_s: float) -> CacheSet:
        """Raises what `CacheStore.set` raises for a value or a lifetime."""
        check_size(value)
        return cls(tenant, key, value, milliseconds(ttl_s))


class CacheDrop(NamedTuple):
    tenant: str
    key: str


CacheAct = CacheGet | CacheSet | CacheDrop
CacheOutcome = bytes | StoreUnavailable | None
"""A value or None of what was got, None of the others; the error of one that failed."""


class BatchStore(CacheStore, Protocol):
    """A cache that does many things in one go."""

    async def batch(self, acts: Sequence[CacheAct]) -> list[CacheOutcome]:
        """One outcome for each, in their order; writes of one key are done in their order, after all reads.

        Raises `StoreUnavailable` when all of them failed.
        """

    def place(self, tenant: str) -> str:
        """The server that has the tenant's entries, as far as it is known: what is away is away for it alone."""


def milliseconds(ttl_s: float) -> int:
    """At least 1. Raises `InvalidRequest` for what is no lifetime."""
    if not 0 < ttl_s <= MAX_TTL_S:
        raise InvalidRequest(f"A lifetime is a positive number of seconds, at most a year; not {ttl_s}.", "ttl_s")
    return math.ceil(ttl_s * 1000)


def check_size(value: bytes) -> None:
    """Raises `PayloadTooLarge`."""
    if len(value) > MAX_VALUE_BYTES:
        raise PayloadTooLarge(f"A cached value has at most {MAX_VALUE_BYTES} bytes, not {len(value)}.")
