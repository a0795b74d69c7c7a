"""What entries are called in Redis."""

from __future__ import annotations

import hashlib


def entry(tenant: str, room: str, key: str) -> str:
    """`ossa:{tenant}:{room}:{key}`, tenant and key as digests.

    Names may hold colons or anything else, so that written out those of two tenants could meet;
    a digest also bounds the length, and keeps names out of what Redis logs.
    """
    return f"ossa:{_digest(tenant, 16)}:{room}:{_digest(key, 32)}"


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
