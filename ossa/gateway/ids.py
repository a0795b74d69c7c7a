"""Identifiers that sort by time of birth."""

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
