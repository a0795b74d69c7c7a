"""The cache inside the process, and what it knows to be absent from the shared one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

V = TypeVar("V")

NEW_SHARE = 0.1
"""Share of the room for what came last and was not used yet."""

USES_MAX = 3
ENTRY_BYTES = 256
"""Bytes of an entry beside its value, about."""


class _Entry(Generic[V]):
    __slots__ = ("size", "until", "uses", "value")

    def __init__(self, value: V, until: float, size: int) -> None:
        self.value = value
        self.until = until
        self.size = size
        self.uses = 0


class Front(Generic[V]):
    """Values used often and lately, bounded in number and bytes. No IO, no clock of its own.

    By S3-FIFO: what is new stands in a short queue, and goes unless it was used meanwhile; what was used stands in a
    long one, where each use is worth another round; of what went, the names are kept, and who comes back goes to the
    long one at once. So many values that are used once push out none that are used again and again. A use
    costs a look-up and a count.

    Args:
        size: bytes that a value takes.
        max_entries: values.
        max_bytes: of all values.
    """

    def __init__(self, size: Callable[[V], int], *, max_entries: int = 65_536, max_bytes: int = 16 * 2**20) -> None:
        self._size = size
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._new: OrderedDict[Hashable, _Entry[V]] = OrderedDict()
        self._new_bytes = 0
        self._used: OrderedDict[Hashable, _Entry[V]] = OrderedDict()
        self._used_bytes = 0
        self._gone: OrderedDict[Hashable, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._new) + len(self._used)

    @property
    def bytes(self) -> int:
        return self._new_bytes + self._used_bytes

    def get(self, key: Hashable, now: float) -> V | None:
        """Returns the value until the time it was put in with."""
        entry = self._used.get(key) or self._new.get(key)
        if entry is None:
            return None
        if now >= entry.until:
            self.drop(key)
            return None
        if entry.uses < USES_MAX:
            entry.uses += 1
        return entry.value

    def put(self, key: Hashable, value: V, until: float) -> None:
        """Keeps the value till `until`; others give way. A value larger than all the room is not kept."""
        known = key in self._used or key in self._gone
        uses = self._uses(key)
        self.drop(key)
        entry = _Entry(value, until, self._size(value) + ENTRY_BYTES)
        entry.uses = uses
        if entry.size > self._max_bytes:
            return
        while len(self) >= self._max_entries or self.bytes + entry.size > self._max_bytes:
            self._evict()
        if known:
            self._gone.pop(key, None)
            self._used[key] = entry
            self._used_bytes += entry.size
        else:
            self._new[key] = entry
            self._new_bytes += entry.size

    def drop(self, key: Hashable) -> None:
        if (entry := self._used.pop(key, None)) is not None:
            self._used_bytes -= entry.size
        elif (entry := self._new.pop(key, None)) is not None:
            self._new_bytes -= entry.size

    def _uses(self, key: Hashable) -> int:
        entry = self._used.get(key) or self._new.get(key)
        return entry.uses if entry is not None else 0

    def _evict(self) -> None:
        """Takes one step: an entry goes, or gets another round."""
        crowded = len(self._new) >= self._max_entries * NEW_SHARE or self._new_bytes >= self._max_bytes * NEW_SHARE
        if self._new and (crowded or not self._used):
            key, entry = self._new.popitem(last=False)
            self._new_bytes -= entry.size
            if entry.uses:
                entry.uses = 0
                self._used[key] = entry
                self._used_bytes += entry.size
            else:
                self._remember(key)
            return
        key, entry = self._used.popitem(last=False)
        if entry.uses:
            entry.uses -= 1
            self._used[key] = entry
        else:
            self._used_bytes -= entry.size

    def _remember(self, key: Hashable) -> None:
        self._gone[key] = None
        while len(self._gone) > max(len(self), 1):
            self._gone.popitem(last=False)


ABSENT_S = 1.0
ABSENT_MAX = 16_384


class Absences:
    """Keys that a store did not have a moment ago. No IO.

    For where being late is right: what another process writes is not seen for `for_s`. Whoever writes in this process
    calls `came`.

    Args:
        most: keys.
        clock: monotonic seconds.
    """

    def __init__(
        self, *, for_s: float = ABSENT_S, most: int = ABSENT_MAX, clock: Callable[[], float] = monotonic
    ) -> None:
        self._for_s = for_s
        self._most = most
        self._clock = clock
        self._until: OrderedDict[Hashable, float] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        until = self._until.get(key)
        if until is None:
            return False
        if self._clock() >= until:
            del self._until[key]
            return False
        return True

    def missed(self, key: Hashable) -> None:
        self._until[key] = self._clock() + self._for_s
        self._until.move_to_end(key)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def came(self, key: Hashable) -> None:
        self._until.pop(key, None)
