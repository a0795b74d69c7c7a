"""Identifiers of tasks, which sort by time of birth, of requests and of traces."""

from __future__ import annotations

import re
import secrets
import time

TASK_ID_PATTERN = r"^task_[0-9a-f]{32}$"
_TASK_ID = re.compile(TASK_ID_PATTERN)


def new_task_id() -> str:
    """`task_` and 32 hex digits: 48 bits of Unix milliseconds, then random (the layout of a version 7 UUID)."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return f"task_{value:032x}"


def is_task_id(text: str) -> bool:
    return _TASK_ID.match(text) is not None


def new_request_id() -> str:
    return f"req_{secrets.token_hex(12)}"


_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 1


def next_traceparent(given: bytes | None) -> str:
    """Returns W3C's `traceparent` of a new span: in the given trace, or in a new one where `given` is not valid."""
    trace = _TRACEPARENT.fullmatch(given) if given is not None else None
    if trace is None or not _followed(*trace.groups()):
        return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    # Flags that version 00 does not define are not passed on.
    return f"00-{trace[2].decode()}-{secrets.token_hex(8)}-{int(trace[4], 16) & _SAMPLED:02x}"


def _followed(version: bytes, trace_id: bytes, parent_id: bytes, flags: bytes, rest: bytes | None) -> bool:
    """Whether the trace may be followed. Only a version after 00 may have further fields."""
    if version == b"ff" or (version == b"00" and rest is not None):
        return False
    return trace_id.strip(b"0") != b"" and parent_id.strip(b"0") != b""
