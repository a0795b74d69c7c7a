"""What entries are called in Redis."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from redis.crc import key_slot

TENANTS_KNOWN = 4096


def entry(tenant: str, room: str, key: str) -> str:
    """`ossa:{tenant}:room:key`, tenant and key as digests, the tenant's in braces.

    Names may hold colons or anything else, so that written out those of two tenants could meet; a digest also bounds
    the length, and keeps names out of what Redis logs. A cluster places a key by what is in its first braces: all of a
    tenant's are on one server, so that one command gets many.
    """
    return f"ossa:{{{_tag(tenant)}}}:{room}:{_digest(key, 32)}"


@lru_cache(TENANTS_KNOWN)
def slot(tenant: str) -> int:
    """Where a cluster has the tenant's entries."""
    return key_slot(_tag(tenant).encode())


@lru_cache(TENANTS_KNOWN)
def _tag(tenant: str) -> str:
    return _digest(tenant, 16)


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
