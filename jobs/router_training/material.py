"""Training and test data of a model, for two jobs: expected quality of tiers, and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jobs.tuning.trainer import Trainer
from ossa.routing.learned.archive import ModelFile


class RouterTrainer(Trainer[ModelFile], Protocol):
    def texts(self) -> list[str]:
        """Returns the training texts, as a reference of the inputs."""


@dataclass(frozen=True)
class Source:
    """Where material came from, for the card."""

    name: str
    shown: int
    tested: int
    split: str


@dataclass(frozen=True)
class Material:
    """Data of one source, split by time (journal) or by clusters of near duplicates (sets)."""

    source: Source
    shown: Sequence[Any]
    kept: Sequence[Any]
    test: Sequence[Any]
    whole: bool = field(default=True)
    """Whether each item says how every tier did; of the journal's it is the one that answered alone."""


def first(items: Sequence[Any], share: float) -> list[Any]:
    """Evenly out of all of them, so that a share looks like the whole."""
    count = max(1, round(len(items) * share))
    return [items[at * len(items) // count] for at in range(count)]
