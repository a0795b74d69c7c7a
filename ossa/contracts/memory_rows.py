"""The memory's rows, and what its places tell one another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ossa.contracts.memory import Fact, MemoryTier, Recall, Scope
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
