"""The interface between a search and the trainer of one kind of model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from jobs.tuning.promotion import Results
from ossa.contracts.routing import ModelKind

Parameters = Mapping[str, Any]
Model = TypeVar("Model")


@dataclass(frozen=True)
class Range:
    """A parameter of the search, drawn between both ends, evenly in its logarithm."""

    low: float
    high: float


@dataclass(frozen=True)
class Choice:
    """A parameter of the search, one of these."""

    options: tuple[Any, ...]


class Trainer(Protocol[Model]):
    """One kind of model and its material. Picklable: trials run it in other processes."""

    @property
    def kind(self) -> ModelKind: ...

    @property
    def space(self) -> Mapping[str, Range | Choice]: ...

    def fit(self, parameters: Parameters, *, share: float = 1.0, held_back: bool = False) -> Model:
        """Fit on a share of the material.

        Args:
            held_back: leave the part out that `validate` asks; without it all that is shown is fitted.
        """

    def validate(self, model: Model) -> float:
        """More is better; on material that a `held_back` fit did not see."""

    def judge(self, model: Model | None) -> list[Results]:
        """On what no fit ever sees, by source. None: how it goes without a model."""
