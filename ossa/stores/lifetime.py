"""What every cache refuses."""

from __future__ import annotations

import math

from ossa.contracts.cache import MAX_VALUE_BYTES
from ossa.contracts.errors import InvalidRequest, PayloadTooLarge

_MAX_TTL_S = 366 * 86_400.0


def milliseconds(ttl_s: float) -> int:
    """At least 1. Raises `InvalidRequest` for what is no lifetime."""
    if not 0 < ttl_s <= _MAX_TTL_S:
        raise InvalidRequest(f"A lifetime is a positive number of seconds, at most a year; not {ttl_s}.", "ttl_s")
    return math.ceil(ttl_s * 1000)


def check_size(value: bytes) -> None:
    """Raises `PayloadTooLarge`."""
    if len(value) > MAX_VALUE_BYTES:
        raise PayloadTooLarge(f"A cached value has at most {MAX_VALUE_BYTES} bytes, not {len(value)}.")
