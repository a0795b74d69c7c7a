"""Predicts the label of a text: one hidden layer over hashed words, letters and word vectors, in numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ossa.routing.learned.archive import ModelFile, restore
from ossa.routing.learned.reading import Encoder, Floats, Reading
from ossa.routing.learned.spelling import Spelling

KIND = "labels"
SCALE = np.float32(4.0)
"""Scales the inputs: unit vectors are small beside the biases."""

LEAST_LIKELY = 1e-5
"""Keeps the best label from being impossible or certain."""


@dataclass(frozen=True)
class LabelScores:
    """Likelihoods in the order of `LabelModel.labels`; the rest to 1 is "none of them".

    `in_scope`: the best label is likely enough to be acted on.
    """

    likely: Floats
    in_scope: bool

    @property
    def best(self) -> int:
        return int(self.likely.argmax())


@dataclass(frozen=True)
class LabelModel:
    """
    Attributes:
        labels: names; one more output of the network is "out of scope".
        groups: position in `group_names` of the group (pool) of each label.
        inner, inner_dense, outer: weights of hashed rows (rows, hidden), of word vectors (DENSE, hidden), and of the
            hidden layer (hidden, outputs).
        temperature: divides the logits (Guo et al. 2017, eq. 9).
        floor: least likelihood of a label that is in scope.
        slope, bias: calibrate the best label's log-odds (Platt 1999).
        spelling: corrects words of the texts it was fitted to; none in a file without them.
    """

    labels: tuple[str, ...]
    group_names: tuple[str, ...]
    groups: NDArray[np.int64]
    encoder: Encoder
    inner: Floats
    inner_dense: Floats
    inner_bias: Floats
    outer: Floats
    outer_bias: Floats
    temperature: float
    floor: float
    slope: float
    bias: float
    spelling: Spelling

    @classmethod
    def of(cls, file: ModelFile) -> LabelModel:
        card, arrays = file.of_kind(KIND).card, file.arrays
        calibration = card["calibration"]
        return cls(
            labels=tuple(card["labels"]),
            group_names=tuple(card["groups"]),
            groups=arrays["groups"].astype(np.int64),
            encoder=Encoder.of(arrays["buckets"], arrays["rarity"], float(card["unmet"])),
            inner=restore(arrays["inner"], arrays["inner_scale"]),
            inner_dense=arrays["inner_dense"].astype(np.float32),
            inner_bias=arrays["inner_bias"].astype(np.float32),
            outer=arrays["outer"].astype(np.float32),
            outer_bias=arrays["outer_bias"].astype(np.float32),
            temperature=float(calibration["temperature"]),
            floor=float(calibration["floor"]),
            slope=float(calibration.get("slope", 1.0)),
            bias=float(calibration.get("bias", 0.0)),
            spelling=Spelling.of_array(arrays.get("words")),
        )

    def predict(self, reading: Reading) -> LabelScores:
        logits = self.logits(reading) / np.float32(self.temperature)
        chance = np.exp(logits - logits.max())
        likely = confident((chance / chance.sum())[: len(self.labels)], self.slope, self.bias)
        return LabelScores(likely, bool(likely.max(initial=0.0) >= self.floor))

    def logits(self, reading: Reading) -> Floats:
        """Returns logits; shape (outputs,)."""
        reading = self.spelling.read(reading)
        rows, weights = self.encoder.sparse(reading)
        inside = weights @ self.inner[rows] + self.encoder.dense(reading) @ self.inner_dense
        hidden = np.maximum(SCALE * inside + self.inner_bias, 0.0)
        return np.asarray(hidden @ self.outer + self.outer_bias, dtype=np.float32)

    def of_groups(self, likely: Floats) -> Floats:
        """Sums the likelihoods of each group's labels; shape (groups,)."""
        return np.bincount(self.groups, weights=likely, minlength=len(self.group_names)).astype(np.float32)

    @cached_property
    def positions(self) -> Mapping[str, int]:
        return {label: position for position, label in enumerate(self.labels)}


def confident(likely: Floats, slope: float, bias: float) -> Floats:
    """Sets the largest likelihood p to 1 / (1 + exp(-(slope * log(p / (1 - p)) + bias))).

    The others share the rest to 1 in their proportions, and none becomes likelier than the largest.
    """
    if (slope, bias) == (1.0, 0.0):
        return likely
    best = int(likely.argmax())
    others = np.delete(likely, best)
    largest = max(float(likely[best]), LEAST_LIKELY)
    left = max(1.0 - largest, float(others.sum()), LEAST_LIKELY)
    sure = 1.0 / (1.0 + math.exp(-(slope * math.log(largest / left) + bias)))
    second = float(others.max(initial=0.0))
    at_least = second / (left + second)
    sure = max(sure, at_least + LEAST_LIKELY * (1.0 - at_least))
    calibrated: Floats = likely * np.float32((1.0 - sure) / left)
    calibrated[best] = sure
    return calibrated
