"""Where the memory lies: the catalogue, which is the truth, and three tiers of copies.

A *version* names a content. A *fence* names who may move copies: it is taken from the same ever growing sequence with
each write of an item and each time somebody begins to move its copies. Whoever makes a copy stamps it with the fence
held; whoever removes copies removes those with lower ones alone. So nobody who was slow removes what a later one made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from ossa.contracts.memory import Fact, ForgetProof, Grant, KindSet, MemoryTier, Recall, Scope
from ossa.contracts.value import Value


class MemoryRow(Value):
    """One item in the catalogue.

    Attributes:
        fence: of who wrote or began to move it last.
        stored: the fence of the object that has the content; None: the row has it.
        content: None where an object has it, or where it was not asked for.
        digest: sha256 of the content.
        objects: objects with lower fences may be left of it.
        uses: recalls that followed one another closely (`KindRules.within_s`).
        untidy: copies may be missing or left over.
    """

    tenant: str
    id: str
    kind: str
    subject: str
    facts: dict[str, Fact]
    version: int
    fence: int
    stored: int | None = None
    tier: MemoryTier
    content: str | None
    digest: str
    objects: bool = False
    uses: int
    untidy: bool
    created_at: datetime
    updated_at: datetime
    used_at: datetime
    expires_at: datetime | None

    def matches(self, query: Recall, kinds: Sequence[str] | None = None) -> bool:
        """Whether it is among those asked for, of these kinds; the text is not looked at."""
        return (
            (kinds is None or self.kind in kinds)
            and query.kind in (None, self.kind)
            and query.subject in (None, self.subject)
            and all(_same(self.facts.get(name), value) for name, value in query.facts.items())
            and (query.since is None or self.updated_at >= query.since)
            and (query.until is None or self.updated_at < query.until)
        )


class Draft(Value):
    """A write. `write_id` tells a write that is tried again from another one."""

    tenant: str
    id: str
    kind: str
    subject: str
    facts: dict[str, Fact]
    content: str
    digest: str
    tier: MemoryTier
    expires_at: datetime | None
    if_version: int | None
    write_id: str
    at: datetime


class Use(Value):
    """Recalls of an item since the last report."""

    tenant: str
    id: str
    count: int
    at: datetime
    within_s: float


class Erasure(Value):
    """Items that left the catalogue and whose copies have to go. Kept until every place has confirmed, and a while on.

    Attributes:
        ids: of the items.
        subjects: theirs, in the same order.
        fence: above every fence that their copies can have.
        confirmed_at: when every place had answered that it holds nothing.
    """

    id: str
    scope: Scope
    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    fence: int
    at: datetime
    confirmed_at: datetime | None = None


class Copy(Value):
    """A content outside the catalogue, and which one it is."""

    version: int
    content: str


class Near(Value):
    """An item that a search found, of which version, and how near: its cosine."""

    id: str
    version: int
    score: float


def _same(one: Fact | None, other: Fact) -> bool:
    """1 is not true."""
    return type(one) is type(other) and one == other


class MemoryCatalogue(Protocol):
    """Every method raises `StoreUnavailable`. What was written is seen by every later call of every process.

    Methods that take a `fence` do nothing, and say so, when the item has another one by now.
    """

    async def write(self, draft: Draft) -> MemoryRow:
        """Insert or replace, with a new version and fence; the content is in the row.

        The same `write_id` again changes nothing. Raises `Conflict`.
        """

    async def row(self, tenant: str, id: str, *, known: int | None = None) -> MemoryRow | None:
        """`known`: a version whose content is not needed."""

    async def rows(self, tenant: str, ids: Sequence[str]) -> list[MemoryRow]:
        """Those that are there, in any order, with their contents."""

    async def newest(self, tenant: str, query: Recall, *, kinds: Sequence[str] | None) -> list[MemoryRow]:
        """Those that match all but the text, of these kinds (None: of all), newest first."""

    async def claim(self, row: MemoryRow, *, storing: bool = False) -> MemoryRow | None:
        """The item under a new fence, untidy from now on; None when `row.fence` is not its fence any more.

        `storing`: an object will be made under it.
        """

    async def store_away(self, row: MemoryRow, *, fence: int) -> bool:
        """The object stamped with `fence` has the content now, and the row none; cold."""

    async def bring_back(self, row: MemoryRow, content: str, *, fence: int) -> bool:
        """The row has the content again; warm."""

    async def mark(self, row: MemoryRow, tier: MemoryTier, *, fence: int) -> bool:
        """hot or warm; only while the row has the content."""

    async def tidied(self, row: MemoryRow, *, fence: int) -> bool:
        """Not untidy any more; no object is left but the one it is stored in."""

    async def used(self, uses: Sequence[Use]) -> None:
        """Count recalls. May count twice what is tried again."""

    async def untidy(self, *, limit: int) -> list[MemoryRow]:
        """The oldest first, with their contents."""

    async def idle(self, tier: MemoryTier, kinds: KindSet, *, before: datetime, limit: int) -> list[MemoryRow]:
        """Returns a tier's items that were not used since, the longest unused first, with their contents."""

    async def expired(
        self, kinds: KindSet, *, now: datetime, changed_before: datetime | None, limit: int
    ) -> list[MemoryRow]:
        """Those of the kinds whose own time is over, or that changed last before."""

    async def erase(
        self, scope: Scope, *, at: datetime, id: str, versions: Mapping[str, int] | None = None
    ) -> Erasure | None:
        """Remove the items, and note in the same step that their copies have to go; None when there is nothing.

        A scope without ids is noted even when it held no item. `id` makes a second try the same erasure.
        `versions`: items of other versions stay.
        """

    async def count(self, erasure: Erasure) -> int:
        """Items of its scope with a lower fence."""

    async def erasures(self, *, limit: int) -> list[Erasure]:
        """The oldest first."""

    async def confirm(self, proof: ForgetProof) -> None:
        """Every place has confirmed."""

    async def close_erasure(self, id: str) -> None:
        """It is over, and nothing is left of it."""

    async def grant(self, grant: Grant) -> None: ...

    async def revoke(self, tenant: str, *, to: str) -> bool:
        """Whether there was one."""

    async def grant_of(self, tenant: str, *, to: str) -> Grant | None: ...

    async def grants(self, tenant: str) -> list[Grant]: ...


class HotTier(Protocol):
    """Copies that may be lost at any time. No method raises for that: a copy that is not there is only slower."""

    async def get(self, tenant: str, id: str) -> Copy | None: ...

    async def put(self, tenant: str, id: str, copy: Copy, *, shared: bool) -> None:
        """In this process, and where `shared` in the cache of all."""

    async def drop(self, tenant: str, ids: Sequence[str]) -> None:
        """Raises `StoreUnavailable`."""

    async def count(self, erasure: Erasure) -> int:
        """Copies of its items that it holds. Raises `StoreUnavailable`."""


class WarmTier(Protocol):
    """What items mean. Every method raises `StoreUnavailable`."""

    async def put(self, row: MemoryRow, vector: Sequence[float], *, fence: int) -> None: ...

    async def search(
        self, tenant: str, vector: Sequence[float], query: Recall, *, kind: str | None, limit: int
    ) -> list[Near]:
        """Nearest first; the same item may come more than once."""

    async def drop(self, row: MemoryRow, *, below: int) -> None:
        """The item's copies with lower fences."""

    async def drop_one(self, row: MemoryRow, *, fence: int) -> None:
        """The one copy of that fence."""

    async def erase(self, erasure: Erasure) -> int:
        """All its copies; returns how many there were."""

    async def count(self, erasure: Erasure) -> int: ...


class ColdTier(Protocol):
    """Objects, durable when written. Every method raises `StoreUnavailable`."""

    async def put(self, row: MemoryRow, content: str, *, fence: int) -> None: ...

    async def get(self, row: MemoryRow, *, fence: int) -> str | None: ...

    async def drop(self, row: MemoryRow, *, below: int, keep: int | None = None) -> None:
        """The item's objects with lower fences, but for `keep`."""

    async def drop_one(self, row: MemoryRow, *, fence: int) -> None: ...

    async def erase(self, erasure: Erasure) -> int:
        """All its objects; returns how many there were."""

    async def count(self, erasure: Erasure) -> int: ...

    async def close(self) -> None: ...
