"""Feedback, policies and router models."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from ossa.sdk.values.listing import Listing
from ossa.sdk.values.received import Received


class Feedback(Received):
    """What is kept of a rating."""

    task_id: str
    rating: float
    comment: str = ""
    expected: str = ""
    at: datetime | None = None


class Policy(Received):
    """`source`: `own`, `everybody` (that of tenant `*`) or `usual`. `policy`: its settings, as the API names them."""

    tenant: str
    policy: dict[str, Any] = Field(default_factory=dict)
    source: str = ""


class RouterModel(Received):
    """A learned model in the registry; `card` says what it was trained on and how it did."""

    kind: str
    version: int
    state: str
    digest: str = ""
    card: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime | None = None
    promoted_at: datetime | None = None


class RouterModels(Listing[RouterModel]):
    columns: ClassVar[tuple[str, ...]] = ("kind", "version", "state", "digest", "created_at", "promoted_at")


class RolledBack(Received):
    """`live` None: the packaged model serves, or rules do; simple methods forecast."""

    kind: str
    live: RouterModel | None = None


class Serving(Received):
    """What serves for a kind of model."""

    kind: str
    source: str
    version: int | None = None
    digest: str = ""
    since: datetime | None = None
    fallback: str = ""
    aside: str = ""
    input_drift: dict[str, float] = Field(default_factory=dict)
    quality_alarm: float = 0.0


class ServingList(Listing[Serving]):
    columns: ClassVar[tuple[str, ...]] = ("kind", "source", "version", "digest", "since", "fallback", "aside")


class RouterStatus(Received):
    """Of the replica that answered."""

    models: tuple[Serving, ...] = ()
    swaps: int = 0
    checked_at: datetime | None = None
    fault: str = ""
