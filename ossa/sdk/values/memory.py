"""What is remembered, and the proof that it was forgotten."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from ossa.sdk.values.listing import Listing
from ossa.sdk.values.received import Received


class Remembered(Received):
    """`content` is None where the storage of a cold item does not answer now. `version` grows with each change."""

    id: str
    tenant: str = ""
    kind: str = ""
    subject: str = ""
    content: str | None = None
    facts: dict[str, Any] = {}
    version: int = 0
    tier: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None


class Recollection(Received):
    """`score`: cosine to the text that was asked for."""

    item: Remembered
    score: float | None = None

    @property
    def id(self) -> str:
        return self.item.id

    @property
    def kind(self) -> str:
        return self.item.kind

    @property
    def subject(self) -> str:
        return self.item.subject

    @property
    def content(self) -> str | None:
        return self.item.content

    @property
    def updated_at(self) -> datetime | None:
        return self.item.updated_at


class Recollections(Listing[Recollection]):
    columns: ClassVar[tuple[str, ...]] = ("id", "score", "kind", "subject", "updated_at", "content")


class PlaceProof(Received):
    """`left`: copies that a look afterwards found; None: the place did not answer."""

    tier: str
    removed: int | None = None
    left: int | None = None
    reason: str = ""


class PlaceProofs(Listing[PlaceProof]):
    columns: ClassVar[tuple[str, ...]] = ("tier", "removed", "left", "reason")


class ForgetProof(Received):
    """`complete`: every place answered and holds nothing; else it is asked again until it does."""

    id: str
    at: datetime
    items: int
    places: tuple[PlaceProof, ...] = ()
    complete: bool


class MemoryGrant(Received):
    """`tenant` lets `to` read its memories of these kinds."""

    tenant: str
    to: str
    kinds: tuple[str, ...] = ()
    granted_at: datetime | None = None


class MemoryGrants(Listing[MemoryGrant]):
    columns: ClassVar[tuple[str, ...]] = ("to", "kinds", "granted_at")
