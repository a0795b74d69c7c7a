"""From labelled texts and descriptions of the labels to an `AgentMatcher` file: how much each word of a request tells.

Nothing of it is about one label: a matcher is used on agents that it was never trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from lab.routing.calibration import best_temperature, expected_calibration_error
from lab.routing.labels import Labelled
from ossa.routing.learned.agents import KIND, AgentMatcher, AgentTable
from ossa.routing.learned.archive import ModelFile
from ossa.routing.learned.reading import BUCKETS, Reading, read

Array = NDArray[Any]
SHARED_WEIGHTS = (0.1, 0.15, 0.2, 0.3, 0.4)
LEAST_TEXTS = 2
WRONG_EACH = 10
SCORED = 6_000
"""So many texts choose the shared words' weight and the calibration."""


@dataclass(frozen=True)
class AgentJob:
    """
    Attributes:
        texts: of labels that `cards` describes.
        background: other requests; they tell how rare words are.
        about: `name`, `data` and `split` of the card.
    """

    texts: Sequence[Labelled]
    cards: Mapping[str, str]
    background: Sequence[str]
    about: Mapping[str, Any]


def train(job: AgentJob) -> ModelFile:
    readings = [read(one.text) for one in job.texts]
    buckets, rarity = _rarity([*readings, *(read(text) for text in job.background)])
    labels = sorted(job.cards)
    step = max(1, len(readings) // SCORED)
    scored = readings[::step]
    wanted = np.asarray([labels.index(one.label) for one in job.texts[::step]])
    card: dict[str, Any] = {
        "kind": KIND,
        **job.about,
        "texts": len(job.texts),
        "descriptions": len(labels),
        "shared_weight": SHARED_WEIGHTS[0],
        "metrics": {},
        "calibration": {"level": 0.0, "spread": 1.0, "temperature": 1.0},
        "importance": {},
    }
    arrays: dict[str, Array] = {"buckets": buckets, "rarity": rarity}
    matcher = AgentMatcher.of(ModelFile(card, arrays))
    table = AgentTable.of([job.cards[label] for label in labels], matcher)

    def scores(weight: float) -> Array:
        weighed = replace(table, matcher=replace(matcher, shared_weight=weight))
        return np.stack([weighed.scores(reading) for reading in scored])

    found = {weight: scores(weight) for weight in SHARED_WEIGHTS}
    right = {weight: float((found[weight].argmax(axis=1) == wanted).mean()) for weight in SHARED_WEIGHTS}
    best = max(SHARED_WEIGHTS, key=lambda weight: right[weight])
    card["shared_weight"] = best
    card["calibration"], error = _calibration(found[best], wanted)
    card["metrics"] = {"right on the texts of the card": round(right[best], 4), "calibration error there": error}
    card["importance"] = {f"right where shared words weigh {weight}": round(right[weight], 4) for weight in right}
    return ModelFile(card, arrays)


def _rarity(readings: Sequence[Reading]) -> tuple[Array, Array]:
    """Buckets, and their idf as a share of a word's that nobody used."""
    texts = np.zeros(BUCKETS, dtype=np.int64)
    for reading in readings:
        texts[np.unique(reading.word_buckets)] += 1
    met = np.flatnonzero(texts >= LEAST_TEXTS)
    rarity = np.log((len(readings) + 1) / (texts[met] + 1)) / np.log(len(readings) + 1)
    return met.astype(np.int32), rarity.astype(np.float16)


def _calibration(scores: Array, wanted: Array) -> tuple[dict[str, float], float]:
    """Platt's logistic (1999) of right pairs against as many by chance, and a temperature for all together."""
    rows = np.arange(len(wanted))
    others = (wanted + np.random.default_rng(7).integers(1, scores.shape[1], (WRONG_EACH, len(wanted)))) % scores.shape[
        1
    ]
    pairs = np.concatenate((scores[rows, wanted], scores[rows, others].ravel()))[:, None]
    right = np.repeat((1, 0), (len(wanted), others.size))
    fitted = LogisticRegression(C=10.0).fit(pairs, right, sample_weight=np.where(right, WRONG_EACH, 1))
    slope, bias = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    temperature = best_temperature(scores, wanted)
    chance = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    chance /= chance.sum(axis=1, keepdims=True)
    error = expected_calibration_error(chance.max(axis=1), chance.argmax(axis=1) == wanted)
    made = {"level": -bias / slope, "spread": 1 / slope, "temperature": temperature}
    return {name: round(value, 4) for name, value in made.items()}, round(error, 4)
