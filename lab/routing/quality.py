"""From prompts with a score and a cost of each model to a `QualityModel` file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from lab.routing.calibration import expected_calibration_error
from lab.routing.labels import encode_phrases, phrase_encoder
from ossa.routing.learned.archive import ModelFile, quantise
from ossa.routing.learned.quality import KIND, LEAST_COST, QualityModel, dense_features, feature_names, mixed
from ossa.routing.learned.reading import NAMES, read, signals

Array = NDArray[Any]
FOLDS = 5
BLOCK = 1_000
SHARPNESS = 15.0
"""Factor in the topics' softmax."""


@dataclass(frozen=True)
class Answered:
    """A prompt and how each model did: `score` in [0, 1] and `cost_usd`, by model."""

    task: str
    prompt: str
    score: dict[str, float]
    cost_usd: dict[str, float]


@dataclass(frozen=True)
class QualityJob:
    """
    Attributes:
        about: `name`, `data` and `split` of the card.
        stiffness: the L2 penalty of the linear estimates.
        prior: a topic's mean counts so many prompts of the mean of all.
    """

    shown: Sequence[Answered]
    about: dict[str, Any]
    stiffness: float = 7.0
    prior: float = 30.0
    seed: int = 7


@dataclass(frozen=True)
class Ground:
    """Data that all fits share: products of their features with one another's, scores, costs, topics."""

    products: Array
    scores: Array
    costs: Array
    topics: Array

    @property
    def targets(self) -> Array:
        return np.hstack((self.scores, self.costs / self.costs.mean(axis=0), self.topics))


@dataclass(frozen=True)
class Trained:
    """A model's file, and its estimates of the shown prompts by fits that had not seen them; (prompts, models)."""

    file: ModelFile
    quality: Array
    cost_usd: Array


def train(job: QualityJob, *, advance: Callable[[], object] = lambda: None) -> Trained:
    """Advances `FOLDS` times."""
    models = list(job.shown[0].score)
    tasks = sorted({one.task for one in job.shown})
    readings = [read(one.prompt) for one in job.shown]
    encoder = phrase_encoder(readings)
    words = encode_phrases(encoder, readings)
    looks = np.stack([signals(reading) for reading in readings])
    mean, scale = looks.mean(axis=0), looks.std(axis=0) + 1e-3
    dense = np.stack([dense_features(reading, mean, scale) for reading in readings])
    ground = Ground(
        products=_products(words, dense),
        scores=np.asarray([[one.score[model] for model in models] for one in job.shown], dtype=np.float32),
        costs=np.asarray([[one.cost_usd[model] for model in models] for one in job.shown], dtype=np.float32),
        topics=np.eye(len(tasks), dtype=np.float32)[[tasks.index(one.task) for one in job.shown]],
    )
    everything = np.arange(len(readings))
    folds = np.random.default_rng(job.seed).integers(0, FOLDS, len(readings))
    straight = np.zeros_like(ground.targets)
    topical, cost = np.zeros_like(ground.scores), np.zeros_like(ground.scores)
    for fold in range(FOLDS):
        there, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        duals, level = _duals(ground, rest, job.stiffness)
        straight[there] = ground.products[np.ix_(there, rest)] @ duals + level
        likely = _softmax(SHARPNESS * straight[there, 2 * len(models) :])
        topical[there] = likely @ _of_topic(ground, ground.scores, rest, job.prior)
        cost[there] = likely @ _of_topic(ground, ground.costs, rest, job.prior)
        advance()
    quality, usual = straight[:, : len(models)], ground.costs.mean(axis=0)
    straight_cost = straight[:, len(models) : 2 * len(models)] * usual
    blend = _blends(quality, topical, ground.scores)
    cost_blend = _blends(straight_cost / usual, cost / usual, ground.costs / usual)
    cost_blend[2] *= usual
    duals, level = _duals(ground, everything, job.stiffness)
    of_meaning = np.vstack((dense.T @ duals, duals.sum(axis=0) + level))
    model = QualityModel(
        models=tuple(models),
        encoder=encoder,
        mean=mean,
        scale=scale,
        of_words=np.asarray(words.T @ duals),
        of_meaning=of_meaning.astype(np.float32),
        sharpness=SHARPNESS,
        usual_cost=usual,
        quality_of_topic=_of_topic(ground, ground.scores, everything, job.prior),
        cost_of_topic=_of_topic(ground, ground.costs, everything, job.prior),
        blend=blend.astype(np.float32),
        cost_blend=cost_blend.astype(np.float32),
    )
    unseen = np.clip(mixed(quality, topical, blend), 0, 1)
    unseen_cost = np.maximum(mixed(straight_cost, cost, cost_blend), LEAST_COST * cost)
    return Trained(_file(job, model, unseen, ground, tasks, dense), unseen, unseen_cost)


def _products(words: Any, dense: Array) -> Array:
    """Returns the product of each two prompts' features, plus 1 for the bias; shape (prompts, prompts)."""
    made = np.empty((len(dense), len(dense)), dtype=np.float32)
    for at in range(0, len(dense), BLOCK):
        rows = slice(at, at + BLOCK)
        made[rows] = (words[rows] @ words.T).toarray() + dense[rows] @ dense.T + 1.0
    return made


def _duals(ground: Ground, rows: Array, stiffness: float) -> tuple[Array, Array]:
    """Ridge regression by its dual (Saunders et al. 1998): weights of the prompts, and the mean that is added."""
    targets = ground.targets[rows]
    level = targets.mean(axis=0)
    system = ground.products[np.ix_(rows, rows)]
    system[np.diag_indices(len(rows))] += stiffness
    found: Array = linalg.solve(system, targets - level, assume_a="pos", overwrite_a=True)
    return found, level


def _of_topic(ground: Ground, values: Array, rows: Array, prior: float) -> Array:
    topics = ground.topics[rows]
    count = topics.sum(axis=0)[:, None]
    found: Array = (topics.T @ values[rows] + prior * values[rows].mean(axis=0)) / (count + prior)
    return found


def _softmax(values: Array) -> Array:
    made = np.exp(values - values.max(axis=1, keepdims=True))
    found: Array = made / made.sum(axis=1, keepdims=True)
    return found


def _blends(straight: Array, topical: Array, happened: Array) -> Array:
    """Shape (3, models)."""
    sides = zip(straight.T, topical.T, happened.T, strict=True)
    return np.stack([_blend(*side) for side in sides], axis=1)


def _blend(straight: Array, topical: Array, score: Array) -> Array:
    """Least squares on unseen prompts, pulled towards the mean of the two."""
    both = np.stack((straight, topical), axis=1).astype(np.float64)
    level = both.mean(axis=0)
    centred, pull = both - level, 0.002 * len(score)
    target = score - score.mean() - centred @ np.full(2, 0.5)
    weights = 0.5 + np.linalg.solve(centred.T @ centred + pull * np.eye(2), centred.T @ target)
    return np.asarray([*weights, score.mean() - level @ weights])


def _file(
    job: QualityJob, model: QualityModel, unseen: Array, ground: Ground, tasks: list[str], dense: Array
) -> ModelFile:
    of_words, scale = quantise(model.of_words)
    strength = np.abs(dense.std(axis=0)[:, None] * model.of_meaning[:-1, : len(model.models)]).mean(axis=1)
    named = dict(zip(feature_names(), strength.tolist(), strict=True))
    top = sorted(NAMES, key=lambda name: -named[name])
    errors = {
        name: round(expected_calibration_error(unseen[:, at], ground.scores[:, at]), 4)
        for at, name in enumerate(model.models)
    }
    card = {
        "kind": KIND,
        **job.about,
        "models": list(model.models),
        "topics": tasks,
        "sharpness": model.sharpness,
        "unmet": model.encoder.unmet,
        "prompts": len(job.shown),
        "metrics": {
            "squared error of prompts left out in turn": round(float(((unseen - ground.scores) ** 2).mean()), 4),
            "squared error of the models' means": round(float(ground.scores.var(axis=0).mean()), 4),
            "mean score": dict(zip(model.models, np.round(ground.scores.mean(axis=0).astype(float), 4), strict=True)),
        },
        "calibration": {
            "method": f"least squares on {FOLDS} folds left out in turn",
            "error": errors,
            "error of all": round(expected_calibration_error(unseen.ravel(), ground.scores.ravel()), 4),
        },
        "importance": {name: round(named[name], 5) for name in top}
        | {"meaning": round(sum(value for name, value in named.items() if name.startswith("meaning")), 5)},
    }
    halved = ("of_meaning", "quality_of_topic", "blend", "mean", "scale")
    arrays: dict[str, Array] = {
        "buckets": np.flatnonzero(model.encoder.row_of >= 0).astype(np.int32),
        "rarity": model.encoder.rarity.astype(np.float16),
        "of_words": of_words,
        "of_words_scale": scale,
        "usual_cost": model.usual_cost,
        "cost_of_topic": model.cost_of_topic,
        "cost_blend": model.cost_blend,
        **{name: np.asarray(getattr(model, name)).astype(np.float16) for name in halved},
    }
    return ModelFile(card, arrays)
