"""Compressing a context: the order, what became of it, and who does it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from pydantic import Field

from ossa.contracts.value import Value

Kind = Literal["json", "table", "log", "stack", "shell", "diff", "code", "prose", "dialogue"]
KINDS: tuple[Kind, ...] = ("json", "table", "log", "stack", "shell", "diff", "code", "prose", "dialogue")


class CompressionOrder(Value):
    """The arguments of `ossa.vortex.compress`, which says what each means."""

    content: str
    question: str = ""
    reduction: float | None = None
    budget_tokens: int | None = None
    kind: Kind | None = None
    floor: bool = True
    model: str = ""
    seen: str = ""


class LeftOut(Value):
    """How many pieces of a kind were left out, and their tokens.

    `why`: `budget`, or `repeated` where a piece stays once, or was seen before.
    """

    kind: Kind
    pieces: int
    tokens: int
    why: str


class Compressed(Value):
    """What became of a content.

    Attributes:
        text: what to use in its place.
        tokens_before: of the content.
        tokens_after: of `text`, its closing note included.
        fidelity: mean over the original pieces of the largest cosine to one that was kept, 0 to 1.
        handles: of the original, as named in `text` (kept under it when a store was given); empty when it is `text`.
        dropped: what was left out, by kind and reason.
        kinds: the kinds found, with their share of the characters.
        widened: whether the floor gave more room than was asked for.
    """

    text: str
    tokens_before: int = Field(ge=0)
    tokens_after: int = Field(ge=0)
    fidelity: float
    handles: tuple[str, ...] = ()
    dropped: tuple[LeftOut, ...] = ()
    kinds: dict[str, float] = Field(default_factory=dict)
    widened: bool = False

    @property
    def reduction(self) -> float:
        """The share of the tokens that is gone."""
        return 1 - self.tokens_after / self.tokens_before if self.tokens_before else 0.0


class Compressor(Protocol):
    """Compresses for a tenant and keeps the originals."""

    async def compress(self, order: CompressionOrder, *, tenant: str) -> Compressed:
        """Raises `InvalidRequest`; `StoreUnavailable` when the original could not be kept."""

    async def decompress(self, text: str, *, tenant: str) -> str:
        """The original of a compressed text, or of a handle. Raises `NotFound`."""


class OriginalStore(Protocol):
    """Originals by content, per tenant, with a lifetime. Raises `StoreUnavailable`."""

    async def put(self, handle: str, content: str, *, tenant: str, expires_at: datetime) -> None:
        """Durable when it returns. Put again, it lives until the later of the two times."""

    async def get(self, handle: str, *, tenant: str, now: datetime) -> str | None:
        """None when it is unknown, too old, or another tenant's."""

    async def sweep(self, *, now: datetime) -> int:
        """Forget what is too old; how many."""
