"""The cache inside the process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from ossa.vortex.exchange.held import Held


class _Entry(NamedTuple):
    held: Held
    until: float


class Front:
    """The values used last, bounded in number and size. No IO, no clock of its own.

    Args:
        max_entries: values.
        max_chars: characters of all values.
    """

    def __init__(self, max_entries: int = 4096, max_chars: int = 16 * 2**20) -> None:
        self._max_entries = max_entries
        self._max_chars = max_chars
        self._chars = 0
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def chars(self) -> int:
        return self._chars

    def get(self, key: Hashable, now: float) -> Held | None:
        """The value, fresh or not, until the end it was put in with."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.until:
            self.drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.held

    def put(self, key: Hashable, held: Held, until: float) -> None:
        """Keep it till `until`; the ones not used for longest give way. One larger than all the room is not kept."""
        self.drop(key)
        if held.size > self._max_chars:
            return
        self._entries[key] = _Entry(held, until)
        self._chars += held.size
        while len(self._entries) > self._max_entries or self._chars > self._max_chars:
            _, gone = self._entries.popitem(last=False)
            self._chars -= gone.held.size

    def drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._chars -= entry.held.size
