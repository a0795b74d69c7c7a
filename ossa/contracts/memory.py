"""The memory: what is remembered, how it is asked for, where it lies, and how it is forgotten."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import Field, field_validator

from ossa.contracts.value import Value

EVERY_KIND = "*"


class KindRules(Value):
    """Placement and retention of a kind, as data.

    Attributes:
        first: where a new item begins.
        within_s: recalls further apart than this do not add up.
        hot_uses: so many make an item hot.
        warm_uses: so many make a cold item warm again.
        hot_idle_s: a hot item that was not recalled for so long is warm again.
        warm_idle_s: a warm one is cold.
        keep_s: seconds after its last change that an item is forgotten; None: never.
    """

    first: Literal["hot", "warm"] = "warm"
    within_s: float = Field(3600, gt=0)
    hot_uses: int = Field(3, ge=1)
    warm_uses: int = Field(2, ge=1)
    hot_idle_s: float = Field(1800, gt=0)
    warm_idle_s: float = Field(30 * 86_400, gt=0)
    keep_s: float | None = Field(None, gt=0)


class KindSet(Value):
    """Some kinds, or all others."""

    names: tuple[str, ...]
    others: bool = False


class PlacementPolicy(Value):
    """Rules by kind; `*` for those without their own."""

    kinds: dict[str, KindRules] = Field(default_factory=lambda: {EVERY_KIND: KindRules()})

    def rules(self, kind: str) -> KindRules:
        return self.kinds.get(kind) or self.kinds.get(EVERY_KIND) or KindRules()

    def groups(self) -> list[tuple[KindSet, KindRules]]:
        """Every kind is in exactly one."""
        named = tuple(sorted(set(self.kinds) - {EVERY_KIND}))
        groups = [(KindSet(names=(kind,)), self.kinds[kind]) for kind in named]
        return [*groups, (KindSet(names=named, others=True), self.rules(EVERY_KIND))]


MAX_CONTENT_BYTES = 256 * 2**10
"""The most bytes of one item, as UTF-8."""

MAX_FACTS = 16
MAX_FOUND = 200

RESERVED = frozenset({".", "..", "grants", "recall", "forget"})

MemoryTier = Literal["hot", "warm", "cold"]
"""hot: in the shared cache too. warm: found by meaning. cold: in the object storage, found by id, time and facts."""

Fact = str | int | bool
ItemId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:@~+=-]{1,200}$")]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
FactName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Tenant = Annotated[str, Field(min_length=1, max_length=256)]


class NewMemory(Value):
    """What is to be remembered. Under an id that there is already it replaces the item's content and facts.

    Attributes:
        id: the caller's name for it, the tenant's own; None: a new one.
        subject: the person (or thing) it is about; all of a subject is forgotten with one call. It and the kind stay
            as they were when the item was made.
        facts: what it is filtered by.
        lasts_s: seconds until it is forgotten; retention may make it shorter.
        if_version: replace this version alone; 0: there must be none.
    """

    id: ItemId | None = None
    kind: Kind = "fact"
    content: str = Field(min_length=1)
    subject: str = Field("", max_length=256)
    facts: dict[FactName, Fact] = Field(default_factory=dict, max_length=MAX_FACTS)
    lasts_s: float | None = Field(None, gt=0, le=1e10, allow_inf_nan=False)
    if_version: int | None = Field(None, ge=0, lt=2**53)

    @field_validator("id")
    @classmethod
    def _is_no_place_of_the_api(cls, id: str | None) -> str | None:
        if id in RESERVED:
            raise ValueError(f"{id} is taken by the API")
        return id

    @field_validator("content", "subject")
    @classmethod
    def _can_be_stored(cls, text: str) -> str:
        if "\0" in text:
            raise ValueError("holds a NUL character, which cannot be stored")
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise ValueError("is not valid Unicode") from None
        if size > MAX_CONTENT_BYTES:
            raise ValueError(f"has at most {MAX_CONTENT_BYTES} bytes")
        return text

    @field_validator("facts")
    @classmethod
    def _facts_can_be_stored(cls, facts: dict[str, Fact]) -> dict[str, Fact]:
        for name, value in facts.items():
            if isinstance(value, str):
                if len(value) > 256:
                    raise ValueError(f"{name} has at most 256 characters")
                cls._can_be_stored(value)
            elif isinstance(value, int) and abs(value) >= 2**53:
                raise ValueError(f"{name} is too large")
        return facts


class MemoryItem(Value):
    """What is remembered.

    Attributes:
        content: None where the object storage that has it did not answer.
        version: of the content; grows with each change, and is never used again.
        created_at, updated_at: when it was made, and when its content was.
        expires_at: when it will be forgotten, as far as it says so itself.
    """

    tenant: str
    id: str
    kind: str
    subject: str
    content: str | None
    facts: dict[str, Fact]
    version: int
    tier: MemoryTier
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None = None


class Recall(Value):
    """What is asked of the memory.

    Attributes:
        text: found by meaning, nearest first; empty: by time, newest first.
        facts: what has to be equal.
        since, until: bounds of `updated_at`; `until` is not in it.
        least_score: cosine, -1 to 1.
        of: another tenant, by whose grant; None: one's own.
    """

    text: str = Field("", max_length=65_536)
    kind: Kind | None = None
    subject: str | None = Field(None, max_length=256)
    facts: dict[FactName, Fact] = Field(default_factory=dict, max_length=MAX_FACTS)
    since: datetime | None = None
    until: datetime | None = None
    limit: int = Field(10, ge=1, le=MAX_FOUND)
    least_score: float = Field(-1.0, ge=-1, le=1)
    of: Tenant | None = None

    @field_validator("since", "until")
    @classmethod
    def _has_a_zone(cls, at: datetime | None) -> datetime | None:
        if at is not None and at.tzinfo is None:
            raise ValueError("needs a time zone, such as Z")
        return at


class Recalled(Value):
    """`score` is the cosine to the text asked for; None where none was."""

    item: MemoryItem
    score: float | None = None


class Grant(Value):
    """`tenant` lets `to` read its items of these kinds (`*`: of all), and nothing more."""

    tenant: Tenant
    to: Tenant
    kinds: tuple[str, ...] = (EVERY_KIND,)
    granted_at: datetime

    def allows(self, kind: str) -> bool:
        return EVERY_KIND in self.kinds or kind in self.kinds


class Scope(Value):
    """What is forgotten: these ids, else all of a subject, else everything of the tenant."""

    tenant: Tenant
    ids: tuple[str, ...] | None = None
    subject: str | None = None


class TierProof(Value):
    """What one place said.

    Attributes:
        removed: copies that went; None where the place does not count.
        left: copies of the scope that a look afterwards found; None: it did not answer.
        reason: why it is not confirmed.
    """

    tier: Literal["catalogue", "hot", "warm", "cold"]
    removed: int | None = None
    left: int | None = None
    reason: str = ""

    @property
    def confirmed(self) -> bool:
        return self.left == 0


class ForgetProof(Value):
    """What was forgotten, and what each place says of it.

    Attributes:
        items: that were in the catalogue. From `at` on nobody reads them, whatever a tier has left.
        fence: copies with a lower one are covered; what is remembered later has a higher one.
        complete: every place was asked, answered, and holds nothing. Else it is asked again until it does.
    """

    id: str
    scope: Scope
    at: datetime
    fence: int
    items: int
    places: tuple[TierProof, ...]
    complete: bool


class Memory(Protocol):
    """The memory as its callers see it. Every method raises `StoreUnavailable` when the catalogue is away."""

    async def remember(self, new: NewMemory, *, tenant: str) -> MemoryItem:
        """Durable when this returns. Raises `Conflict` for another version, subject or kind than the item has."""

    async def recall(self, id: str, *, tenant: str, of: str | None = None) -> MemoryItem:
        """The newest version. Raises `NotFound`, also for another tenant's without a grant."""

    async def find(self, query: Recall, *, tenant: str) -> list[Recalled]:
        """Finds items by meaning, or by time. Raises `NotFound` for another tenant without a grant.

        Raises `StoreUnavailable` by meaning while the index is away: by id and time it still answers.
        """

    async def forget(self, scope: Scope) -> ForgetProof:
        """Raises `NotFound` where ids are asked for and none of them is there."""

    async def grant(self, tenant: str, *, to: str, kinds: tuple[str, ...] = (EVERY_KIND,)) -> Grant:
        """Replaces an earlier one. Raises `InvalidRequest` for a tenant itself."""

    async def revoke(self, tenant: str, *, to: str) -> None:
        """From the next call on. Raises `NotFound`."""

    async def grants(self, tenant: str) -> list[Grant]:
        """Those the tenant gave."""
