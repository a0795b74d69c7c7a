"""Originals by handle: what was left out can be fetched, whole or by search, for as long as it is kept."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from ossa.contracts.errors import NotFound

HANDLE_PREFIX = "vx:"
HANDLE_CHARS = 10
HANDLE = re.compile(rf"{HANDLE_PREFIX}[a-z2-7]{{{HANDLE_CHARS}}}")
NOTE = re.compile(rf"\[(?:\d+ left out:|\+\d+) ({HANDLE_PREFIX}[a-z2-7]{{{HANDLE_CHARS}}})\]\s*$")
"""The end of a compressed text; `+` and the number under a small budget."""

LIFETIME_S = 24 * 3600.0
MAX_BYTES = 256 * 2**20


def handle_of(content: str) -> str:
    """Names a content by 50 bits of its SHA-256, in letters that cost few tokens."""
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()
    return HANDLE_PREFIX + base64.b32encode(digest)[:HANDLE_CHARS].decode().lower()


def is_handle(text: str) -> bool:
    return HANDLE.fullmatch(text.strip()) is not None


def handle_in(text: str) -> str | None:
    """Returns the handle in the closing note of a compressed text; None for any other text."""
    note = NOTE.fullmatch(text.rstrip().rpartition("\n")[2])
    return note.group(1) if note else None


def decompress(text: str, originals: Originals, *, tenant: str = "default") -> str:
    """Returns the original of a compressed text; a text without a note is its own.

    Raises:
        NotFound: the original is not kept any more, or is another tenant's.
    """
    handle = handle_in(text)
    if handle is None:
        return text
    original = originals.get(handle, tenant=tenant)
    if original is None:
        raise NotFound(f"the original {handle} is not kept any more", param="text")
    return original


class Originals(Protocol):
    """Content-addressed, per tenant, with a lifetime."""

    def put(self, content: str, *, tenant: str) -> str:
        """Returns the handle."""

    def get(self, handle: str, *, tenant: str) -> str | None:
        """None when it is unknown, too old, or another tenant's."""


class MemoryOriginals:
    """Keeps originals in this process. The oldest go when there are too many bytes."""

    def __init__(
        self, *, lifetime_s: float = LIFETIME_S, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime_s = lifetime_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()
        self._bytes = 0

    def put(self, content: str, *, tenant: str) -> str:
        handle = handle_of(content)
        self._drop((tenant, handle))
        self._kept[tenant, handle] = (self._clock() + self._lifetime_s, content)
        self._bytes += len(content)
        while self._bytes > self._max_bytes and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))
        return handle

    def get(self, handle: str, *, tenant: str) -> str | None:
        entry = self._kept.get((tenant, handle))
        if entry is None:
            return None
        if entry[0] <= self._clock():
            self._drop((tenant, handle))
            return None
        return entry[1]

    def _drop(self, key: tuple[str, str]) -> None:
        entry = self._kept.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry[1])
