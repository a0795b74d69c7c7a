"""What a model is trained on and judged by, and the two jobs there are: expected quality of tiers, and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jobs.router_training.promotion import Results
from ossa.contracts.routing import ModelKind
from ossa.routing.learned.archive import ModelFile

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Range:
    """A parameter of the search, drawn between both ends, evenly in its logarithm."""

    low: float
    high: float


@dataclass(frozen=True)
class Choice:
    """A parameter of the search, one of these."""

    options: tuple[Any, ...]


class Trainer(Protocol):
    """One kind of model and its material. Picklable: trials run it in other processes."""

    @property
    def kind(self) -> ModelKind: ...

    @property
    def space(self) -> Mapping[str, Range | Choice]: ...

    def fit(self, parameters: Parameters, *, share: float = 1.0, held_back: bool = False) -> ModelFile:
        """Fit on the first `share` of the material.

        Args:
            held_back: leave the part out that `validate` asks; without it all that is shown is fitted.
        """

    def texts(self) -> list[str]:
        """What is shown, for a reference of its inputs."""

    def validate(self, file: ModelFile) -> float:
        """More is better; on material that a `held_back` fit did not see."""

    def judge(self, file: ModelFile | None) -> list[Results]:
        """On what no fit ever sees, by source. None: how it goes without a model."""


@dataclass(frozen=True)
class Source:
    """Where material came from, for the card."""

    name: str
    shown: int
    tested: int
    split: str


@dataclass(frozen=True)
class Material:
    """Of one source, split: by time where it is the journal's, by near-duplicate clusters where it is a set's."""

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
