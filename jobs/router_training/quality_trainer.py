"""Expected quality of each tier, from answers that were rated and from sets in the model-choice form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jobs.router_training.material import Material, Observed, first
from jobs.tuning.promotion import Results
from jobs.tuning.trainer import Choice, Parameters, Range
from lab.routing.quality import Answered, QualityJob, train
from ossa.contracts.routing import TIERS, ModelKind
from ossa.routing.learned.archive import ModelFile
from ossa.routing.learned.quality import QualityModel, cheapest_within
from ossa.routing.learned.reading import read

SHRINK = 20.0
"""A tier's mean deviation from the prior counts so many answers of none."""

ENOUGH = 0.95
"""Sets are judged by the cheapest tier expected to be within this share of the best: the policy `cheapest`."""

UNKNOWN = 0.5

Row = Observed | Answered


@dataclass(frozen=True)
class QualityTrainer:
    """
    Attributes:
        prior: the model in use. Of a task one tier's answer is known; what the others' would have been is its estimate,
            moved by how far the tier's known answers lie from its estimates (the direct method of Dudik et al. 2011).
    """

    materials: Sequence[Material]
    prior: ModelFile | None = None
    kind: ModelKind = "quality"

    @property
    def space(self) -> Mapping[str, Range | Choice]:
        return {"stiffness": Range(1.0, 40.0), "prior": Range(5.0, 120.0)}

    def fit(self, parameters: Parameters, *, share: float = 1.0, held_back: bool = False) -> ModelFile:
        rows = self._rows("shown") if held_back else [*self._rows("shown"), *self._rows("kept")]
        shown = [self._complete(row) for row in first(rows, share)]
        about = {
            "name": "expected quality of each tier",
            "data": [one.source.name for one in self.materials],
            "split": {one.source.name: one.source.split for one in self.materials},
        }
        return train(QualityJob(shown=shown, about=about, **parameters)).file

    def texts(self) -> list[str]:
        return [row.prompt for row in self._rows("shown")]

    def validate(self, model: ModelFile) -> float:
        quality = QualityModel.of(model)
        errors = [error for row in self._rows("kept") for error in _errors(quality, row)]
        return -float(np.mean(errors)) if errors else -1.0

    def judge(self, model: ModelFile | None) -> list[Results]:
        quality = None if model is None else QualityModel.of(model)
        found = [self._judged(quality, one) for one in self.materials if one.test]
        return [one for one in found if one.gain]

    @cached_property
    def _tiers(self) -> tuple[str, ...]:
        known = set(self._prior_model.models) if self._prior_model else set()
        for row in self._rows("shown"):
            known |= {row.tier} if isinstance(row, Observed) else set(row.score)
        return tuple(tier for tier in TIERS if tier in known)

    @cached_property
    def _prior_model(self) -> QualityModel | None:
        return QualityModel.of(self.prior) if self.prior is not None else None

    @cached_property
    def _moved(self) -> dict[str, float]:
        """How far each tier's known answers lie from the prior's estimates."""
        away: dict[str, list[float]] = defaultdict(list)
        for row in self._rows("shown"):
            if isinstance(row, Observed) and row.score is not None:
                away[row.tier].append(row.score - self._estimate(row.prompt)[row.tier][0])
        return {tier: sum(values) / (len(values) + SHRINK) for tier, values in away.items()}

    def _rows(self, part: str) -> list[Row]:
        return [row for material in self.materials for row in getattr(material, part)]

    def _estimate(self, prompt: str) -> dict[str, tuple[float, float]]:
        """(quality, cost in USD) of each tier by the prior."""
        found = dict.fromkeys(self._tiers, (UNKNOWN, 0.0))
        if self._prior_model is not None:
            estimate = self._prior_model.predict(read(prompt))
            pairs = zip(estimate.quality.tolist(), estimate.cost_usd.tolist(), strict=True)
            found.update(dict(zip(self._prior_model.models, pairs, strict=True)))
        return found

    def _complete(self, row: Row) -> Answered:
        estimate = self._estimate(row.prompt)
        score = {tier: float(np.clip(estimate[tier][0] + self._moved.get(tier, 0.0), 0, 1)) for tier in self._tiers}
        cost = {tier: estimate[tier][1] for tier in self._tiers}
        if isinstance(row, Answered):
            return Answered(row.task, row.prompt, {**score, **row.score}, {**cost, **row.cost_usd})
        cost[row.tier] = row.cost_usd
        if row.score is not None:
            score[row.tier] = row.score
        return Answered(row.topic, row.prompt, score, cost)

    def _judged(self, model: QualityModel | None, material: Material) -> Results:
        if material.whole:
            chosen = [(row, self._choice(model, row, material)) for row in material.test]
            return Results(
                material.source.name,
                [row.score[tier] for row, tier in chosen],
                [row.cost_usd[tier] for row, tier in chosen],
            )
        rows = [row for row in material.test if row.score is not None]
        usual = self._usual()
        gain = [
            -((usual[row.tier] - row.score) ** 2) if model is None else -float(np.mean(_errors(model, row)))
            for row in rows
        ]
        return Results(material.source.name, gain, [0.0] * len(gain))

    def _choice(self, model: QualityModel | None, row: Answered, material: Material) -> str:
        """Without a model the tier that is best on average is taken."""
        if model is None:
            return max(row.score, key=lambda tier: sum(one.score[tier] for one in material.shown))
        estimate = model.predict(read(row.prompt))
        there = [at for at, tier in enumerate(model.models) if tier in row.score]
        if not there:
            return next(iter(row.score))
        few = type(estimate)(estimate.quality[there], estimate.cost_usd[there])
        return model.models[there[cheapest_within(few, ENOUGH)]]

    def _usual(self) -> dict[str, float]:
        """Each tier's mean known answer."""
        known: dict[str, list[float]] = defaultdict(list)
        for row in self._rows("shown"):
            if isinstance(row, Observed) and row.score is not None:
                known[row.tier].append(row.score)
        return defaultdict(lambda: UNKNOWN, {tier: sum(values) / len(values) for tier, values in known.items()})


def _errors(model: QualityModel, row: Row) -> list[float]:
    """Squared errors of the answers that are known."""
    known: dict[str, Any] = {row.tier: row.score} if isinstance(row, Observed) else row.score
    quality = model.predict(read(row.prompt)).quality
    return [
        float(quality[model.models.index(tier)] - score) ** 2 if tier in model.models else 1.0
        for tier, score in known.items()
        if score is not None
    ]
