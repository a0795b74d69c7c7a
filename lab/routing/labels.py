"""From labelled texts to a `LabelModel` file: encode, add noise, fit, calibrate on other texts, round to bytes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lab.routing.calibration import best_temperature, expected_calibration_error, floor_for, platt
from lab.routing.network import Inputs, Plan, fit_all
from lab.routing.noise import NOISES
from ossa.routing.learned.archive import ModelFile, quantise
from ossa.routing.learned.labels import KIND, LabelModel, confident
from ossa.routing.learned.reading import BUCKETS, Buckets, Encoder, Reading, Rows, read
from ossa.routing.learned.spelling import Spelling

Floats = NDArray[np.float32]

OUT_OF_SCOPE = "oos"
LEAST_TEXTS = 2
"""A bucket of fewer texts is left out."""

MOST_ROWS = 32_000
NOISY_COPIES = 4
NOISY_SHARE = 0.6
"""How often an example is drawn with noise."""

OUTSIDE_WEIGHT = 4
"""Out-of-scope examples of the set itself are repeated so often."""


@dataclass(frozen=True)
class Labelled:
    """`label` is `oos` for a text that belongs to none; `group` may be empty."""

    text: str
    label: str
    group: str = ""


@dataclass(frozen=True)
class LabelJob:
    """Training data and settings.

    Attributes:
        shown: the network is fitted to these.
        kept: the temperature and the floor are chosen on these.
        outside: texts from elsewhere that belong to no label, shown as out of scope.
        about: `name`, `data` and `split` of the card.
        spared: the share of right answers (right groups, where there are groups) that the floor lets through.
    """

    shown: Sequence[Labelled]
    kept: Sequence[Labelled]
    about: dict[str, Any]
    outside: Sequence[str] = ()
    spared: float = 0.985
    plan: Plan = field(default_factory=Plan)

    @property
    def steps(self) -> int:
        """How often `train` advances."""
        return self.plan.epochs * self.plan.members


def build_encoder(readings: Sequence[Reading]) -> Encoder:
    """Encodes words, pairs of words and letters."""
    return _encoder(
        [np.concatenate((one.word_buckets, one.pair_buckets, one.gram_buckets)) for one in readings], LEAST_TEXTS
    )


def phrase_encoder(readings: Sequence[Reading]) -> Encoder:
    """Encodes words and pairs of words."""
    return _encoder([np.concatenate((one.word_buckets, one.pair_buckets)) for one in readings], LEAST_TEXTS)


def _encoder(found: Sequence[Buckets], least: int) -> Encoder:
    texts = np.zeros(BUCKETS, dtype=np.int64)
    for buckets in found:
        texts[np.unique(buckets)] += 1
    met = np.flatnonzero(texts >= min(least, max(1, len(found) // 10)))
    met = np.sort(met[np.argsort(-texts[met], kind="stable")][:MOST_ROWS])
    rarity = np.log((len(found) + 1) / (texts[met] + 1)) + 1
    return Encoder.of(met.astype(np.int32), rarity.astype(np.float16).astype(np.float32), _unmet(len(found)))


def _unmet(texts: int) -> float:
    return round(float(np.log((texts + 1) / 2) + 1), 4)


def encode(encoder: Encoder, readings: Sequence[Reading]) -> Inputs:
    table = _table(encoder, [encoder.sparse(reading) for reading in readings])
    return Inputs(table, np.stack([encoder.dense(reading) for reading in readings]))


def encode_phrases(encoder: Encoder, readings: Sequence[Reading]) -> Any:
    """A sparse table of shape (texts, rows)."""
    return _table(encoder, [encoder.sparse_phrases(reading) for reading in readings])


def _table(encoder: Encoder, found: Sequence[tuple[Rows, Floats]]) -> Any:
    ends = np.cumsum([0, *(len(rows) for rows, _ in found)])
    rows = np.concatenate([rows for rows, _ in found])
    weights = np.concatenate([weights for _, weights in found])
    return sparse.csr_matrix((weights, rows, ends), shape=(len(found), len(encoder.rarity)), dtype=np.float32)


def train(job: LabelJob, *, advance: Callable[[], object] = lambda: None) -> ModelFile:
    names = sorted({one.label for one in job.shown if one.label != OUT_OF_SCOPE})
    outside = [one.text for one in job.shown if one.label == OUT_OF_SCOPE] * OUTSIDE_WEIGHT + list(job.outside)
    texts = [one.text for one in job.shown if one.label != OUT_OF_SCOPE] + outside
    at = {name: number for number, name in enumerate(names)}
    numbers = [at[one.label] for one in job.shown if one.label != OUT_OF_SCOPE] + [len(names)] * len(outside)
    targets = np.eye(len(names) + bool(outside), dtype=np.float32)[numbers]

    readings = [read(text) for text in texts]
    encoder = build_encoder(readings)
    rng = random.Random(job.plan.seed)
    noisy = [encode(encoder, [read(_noisy(text, rng)) for text in texts]) for _ in range(NOISY_COPIES)]
    copies = [encode(encoder, readings), *noisy]
    everything = Inputs(
        sparse.vstack([one.sparse for one in copies]).tocsr(), np.concatenate([one.dense for one in copies])
    )

    def draw(rows: NDArray[Any], source: np.random.Generator) -> Inputs:
        copy = source.integers(1, NOISY_COPIES + 1, len(rows)) * (source.random(len(rows)) < NOISY_SHARE)
        return everything[rows + copy * len(texts)]

    weights = fit_all(draw, targets, job.plan, advance=advance)
    spelling = spelling_of(readings[: len(texts) - len(outside)])
    return _calibrated(_file(job, names, encoder, weights, spelling), job.kept, job.spared)


def spelling_of(readings: Sequence[Reading]) -> Spelling:
    """All their words, the most frequent first; of equals the first in the alphabet."""
    times = Counter(word for reading in readings for word in reading.words)
    return Spelling.of(sorted(times, key=lambda word: (-times[word], word)))


def _noisy(text: str, rng: random.Random) -> str:
    for name, share in (("paraphrase", 0.5), ("typos", 0.8)):
        if rng.random() < share:
            text = NOISES[name](text, rng, "train")
    return text


def _file(
    job: LabelJob, names: list[str], encoder: Encoder, weights: dict[str, Floats], spelling: Spelling
) -> ModelFile:
    group_of = {one.label: one.group for one in job.shown}
    groups = sorted({group_of[name] for name in names})
    inner, scale = quantise(weights["inner"])
    buckets = np.flatnonzero(encoder.row_of >= 0).astype(np.int32)
    strength = np.linalg.norm(weights["inner"], axis=1).mean(), np.linalg.norm(weights["inner_dense"], axis=1).mean()
    card = {
        "kind": KIND,
        **job.about,
        "labels": names,
        "groups": groups,
        "unmet": encoder.unmet,
        "texts": {"shown": len(job.shown), "outside": len(job.outside), "kept": len(job.kept)},
        "metrics": {},
        "calibration": {"temperature": 1.0, "floor": 0.0},
        "importance": {
            "mean weight of a hashed word or letter group": round(float(strength[0]), 4),
            "mean weight of a word-vector entry": round(float(strength[1]), 4),
        },
    }
    arrays: dict[str, NDArray[Any]] = {
        "groups": np.asarray([groups.index(group_of[name]) for name in names], dtype=np.int16),
        "buckets": buckets,
        "rarity": encoder.rarity.astype(np.float16),
        "inner": inner,
        "inner_scale": scale,
        "words": spelling.as_array(),
        **{name: weights[name].astype(np.float16) for name in ("inner_dense", "inner_bias", "outer", "outer_bias")},
    }
    return ModelFile(card, arrays)


def _calibrated(file: ModelFile, kept: Sequence[Labelled], spared: float) -> ModelFile:
    model = LabelModel.of(file)
    inside = [one for one in kept if one.label in model.positions]
    scores = np.stack([model.logits(read(one.text)) for one in inside])
    wanted = np.asarray([model.positions[one.label] for one in inside])
    temperature = round(best_temperature(scores, wanted), 4)
    chance = np.exp(scores / temperature - (scores / temperature).max(axis=1, keepdims=True))
    chance = (chance / chance.sum(axis=1, keepdims=True))[:, : len(model.labels)]
    best = chance.argmax(axis=1)
    right, right_group = best == wanted, model.groups[best] == model.groups[wanted]
    slope, bias = platt(chance.max(axis=1), right)
    sure = np.asarray([confident(one, slope, bias).max() for one in chance])
    metrics = {
        "accuracy on the kept texts": round(float(right.mean()), 4),
        "expected calibration error on the kept texts": round(expected_calibration_error(sure, right), 4),
    }
    spare_right = right_group if len(model.group_names) > 1 else right
    floor = round(floor_for(sure, spare_right, spared), 4)
    calibration = {"temperature": temperature, "slope": slope, "bias": bias, "floor": floor}
    return ModelFile({**file.card, "metrics": metrics, "calibration": calibration}, file.arrays)
