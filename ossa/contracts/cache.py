"""What a shared cache promises. `ossa.stores` keeps the promise; `tests/contract` holds every cache to it."""

from __future__ import annotations

from typing import Protocol

MAX_VALUE_BYTES = 2**20
"""A value larger than this is refused with `PayloadTooLarge`."""


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
