"""Estimates each model's quality and cost: linear over words, meaning and signals, and by topic.

    quality = a * (linear estimate) + b * (sum over topics of their likelihood * mean quality there) + c
    cost    = the same, and no less than a fifth of the mean cost by topic

with a, b, c of each model fitted on estimates for texts that were not trained on, so that it is calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ossa.routing.learned.archive import ModelFile, restore
from ossa.routing.learned.reading import NAMES, Encoder, Floats, Reading, signals
from ossa.vortex.vectors import DIMENSIONS
from ossa.vortex.words import STOP

KIND = "quality"
STOP_WEIGHT = 0.1
MEANING_WEIGHT = 0.25
SIGNAL_WEIGHT = 1 / 30
"""Weights of the meaning's unit vector and of standardised signals, beside the unit vector of words."""

LEAST_COST = 0.2
FARTHEST = 4.0
"""Standard deviations at which signals are cut off, so that a strange text cannot dominate the estimate."""


@dataclass(frozen=True)
class Estimate:
    """Quality in [0, 1] and cost in USD of each model, in the order of `QualityModel.models`."""

    quality: Floats
    cost_usd: Floats


@dataclass(frozen=True)
class QualityModel:
    """
    Attributes:
        mean, scale: of the signals, shape (signals,).
        of_words: linear weights of hashed words and pairs for qualities, costs (in `usual_cost`) and topics; shape
            (rows, 2 * models + topics).
        of_meaning: the same for dense features; the last row is the bias; shape (features + 1, 2 * models + topics).
        sharpness: factor in the topics' softmax.
        usual_cost: mean cost of each model in USD, shape (models,).
        quality_of_topic, cost_of_topic: shape (topics, models).
        blend, cost_blend: a, b, c of each model, shape (3, models).
    """

    models: tuple[str, ...]
    encoder: Encoder
    mean: Floats
    scale: Floats
    of_words: Floats
    of_meaning: Floats
    sharpness: float
    usual_cost: Floats
    quality_of_topic: Floats
    cost_of_topic: Floats
    blend: Floats
    cost_blend: Floats

    @classmethod
    def of(cls, file: ModelFile) -> QualityModel:
        card, arrays = file.of_kind(KIND).card, file.arrays
        names = "mean scale of_meaning usual_cost quality_of_topic cost_of_topic blend cost_blend"
        tables = {name: arrays[name].astype(np.float32) for name in names.split()}
        return cls(
            models=tuple(card["models"]),
            encoder=Encoder.of(arrays["buckets"], arrays["rarity"], float(card["unmet"])),
            of_words=restore(arrays["of_words"], arrays["of_words_scale"]),
            sharpness=float(card["sharpness"]),
            **tables,
        )

    def predict(self, reading: Reading) -> Estimate:
        rows, weights = self.encoder.sparse_phrases(reading)
        dense = dense_features(reading, self.mean, self.scale)
        return self.estimate(weights @ self.of_words[rows] + dense @ self.of_meaning[:-1] + self.of_meaning[-1])

    def estimate(self, straight: Floats) -> Estimate:
        """Blends the linear estimates; shape (..., 2 * models + topics)."""
        count = len(self.models)
        topics = self.sharpness * straight[..., 2 * count :]
        likely = np.exp(topics - topics.max(axis=-1, keepdims=True))
        likely /= likely.sum(axis=-1, keepdims=True)
        quality = mixed(straight[..., :count], likely @ self.quality_of_topic, self.blend)
        of_topic = likely @ self.cost_of_topic
        cost = mixed(straight[..., count : 2 * count] * self.usual_cost, of_topic, self.cost_blend)
        return Estimate(np.minimum(np.maximum(quality, 0.0), 1.0), np.maximum(cost, LEAST_COST * of_topic))


def mixed(straight: Floats, of_topic: Floats, blend: Floats) -> Floats:
    """Returns a * straight + b * of_topic + c for each model."""
    return np.asarray(blend[0] * straight + blend[1] * of_topic + blend[2])


def dense_features(reading: Reading, mean: Floats, scale: Floats) -> Floats:
    """Returns the meaning of the whole and of the tail, and signals; shape (2 * DIMENSIONS + signals,)."""
    looks = np.clip((signals(reading) - mean) / scale, -FARTHEST, FARTHEST) * SIGNAL_WEIGHT
    whole = MEANING_WEIGHT * meaning(reading.words, reading.vectors)
    tail = MEANING_WEIGHT * meaning(reading.tail_words, reading.tail_vectors) if reading.tail else whole
    return np.concatenate((whole, tail, looks))


def meaning(words: list[str], vectors: Floats) -> Floats:
    """Returns the unit vector of the words, stop words at a tenth; shape (DIMENSIONS,)."""
    if not words:
        return np.zeros(DIMENSIONS, dtype=np.float32)
    weights = np.asarray([STOP_WEIGHT if word in STOP else 1.0 for word in words], dtype=np.float32)
    total = weights @ vectors
    return np.asarray(total / max(float(np.sqrt(total @ total)), 1e-6), dtype=np.float32)


def feature_names() -> list[str]:
    """Returns the names of `dense_features`."""
    return [*(f"{part} {at}" for part in ("meaning", "meaning of the end") for at in range(DIMENSIONS)), *NAMES]


def cheapest_within(estimate: Estimate, share: float) -> int:
    """Returns the cheapest model whose expected quality is at least `share` of the best one's."""
    enough = estimate.quality >= share * estimate.quality.max()
    return int(np.argmin(np.where(enough, estimate.cost_usd, np.inf)))
