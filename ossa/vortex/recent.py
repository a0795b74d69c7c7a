"""Answers to recent orders: an agent's callers send the results of its tools again with each request."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from sys import getsizeof

from ossa.contracts.compression import Compressed, CompressionOrder

MAX_BYTES = 64 * 2**20
ENTRY_BYTES = 4096
"""Of an answer, beside its text."""


class RecentAnswers:
    """The same order of the same tenant has the same answer. The least recently used go when there are too many bytes.

    Orders are known by a digest: what this holds does not grow with their contents.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._answers: OrderedDict[bytes, Compressed] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes) -> Compressed | None:
        found = self._answers.get(key)
        if found is not None:
            self._answers.move_to_end(key)
        return found

    def put(self, key: bytes, answer: Compressed) -> None:
        """An answer over the bound by itself is not kept."""
        size = _size(answer)
        if key in self._answers or size > self._max_bytes:
            return
        self._answers[key] = answer
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, oldest = self._answers.popitem(last=False)
            self._bytes -= _size(oldest)


def key_of(order: CompressionOrder, *, tenant: str) -> bytes:
    """SHA-256 over all that the answer hangs on, and the tenant: an answer's speed tells nobody what others sent."""
    digest = hashlib.sha256()
    for name, value in (("tenant", tenant), *order):
        told = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else repr(value).encode()
        digest.update(f"{name} {type(value).__name__} {len(told)} ".encode())
        digest.update(told)
    return digest.digest()


def _size(answer: Compressed) -> int:
    return getsizeof(answer.text) + ENTRY_BYTES
