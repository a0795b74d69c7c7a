"""Model-choice sets: ours, nearest neighbours, TF-IDF, every fixed model and mixes of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.context.measure import interval
from benchmarks.routing.baselines import Scorer, knn_quality, tfidf_quality
from benchmarks.routing.curves import aiq, apgr, choices, chosen, cost_at, curve, outcomes
from benchmarks.routing.results import Result
from lab.routing.calibration import expected_calibration_error
from lab.routing.forms import ChoiceSet
from lab.routing.noise import NOISES
from lab.routing.quality import FOLDS, Answered, QualityJob, Trained, train
from ossa.routing.learned.quality import QualityModel
from ossa.routing.learned.reading import read

Array = NDArray[Any]
Advance = Callable[[], object]

NEARLY = 0.005
"""Half a point: what counts as the strong model's accuracy."""

NOISE_SEED = 3
STIFFNESSES = (7.0, 15.0, 30.0)
RESAMPLED = 500
"""Bootstrap samples of the test prompts, for the interval of what is saved."""


@dataclass(frozen=True)
class Estimates:
    """Of the test prompts and of the shown ones (each by a fit that left it out); shapes (prompts, models)."""

    quality: Array
    cost: Array
    shown_quality: Array
    shown_cost: Array


@dataclass(frozen=True)
class Bill:
    """What a method saves, on the rising hull of its curve over the test prompts.

    Attributes:
        nearly_usd: mean cost at which the strong model's accuracy less half a point is reached; null when never.
        equal_usd: the same at the accuracy of the best fixed model.
        fixed_usd: what that fixed model costs.
        saved_low, saved_high: 95% of what is saved, over prompts drawn again (bootstrap); minus infinity where that
            accuracy is never reached.
    """

    set: str
    method: str
    nearly_usd: float
    equal_usd: float
    fixed_usd: float
    top_accuracy: float
    saved_low: float = float("-inf")
    saved_high: float = float("-inf")

    @property
    def saved(self) -> float:
        """Share of the best fixed model's cost, at equal quality."""
        return 1 - self.equal_usd / self.fixed_usd

    def as_json(self) -> dict[str, Any]:
        numbers = {"nearly_usd": self.nearly_usd, "equal_usd": self.equal_usd, "fixed_usd": self.fixed_usd}
        shown = {name: round(value, 7) if np.isfinite(value) else None for name, value in numbers.items()}
        shares = {"saved": self.saved, "saved_low": self.saved_low, "saved_high": self.saved_high}
        shown |= {name: round(value, 4) if np.isfinite(value) else None for name, value in shares.items()}
        return {"set": self.set, "method": self.method, **shown, "top": round(self.top_accuracy, 4)}


@dataclass(frozen=True)
class Table:
    """Scores and costs of the prompts, (prompts, models)."""

    models: list[str]
    prompts: list[str]
    scores: Array
    costs: Array

    @classmethod
    def of(cls, answered: Sequence[Answered]) -> Table:
        models = list(answered[0].score)
        return cls(
            models,
            [one.prompt for one in answered],
            np.asarray([[one.score[model] for model in models] for one in answered]),
            np.asarray([[one.cost_usd[model] for model in models] for one in answered]),
        )


def run(choice: ChoiceSet, advance: Advance) -> tuple[list[Result], list[Bill]]:
    shown, test = Table.of(choice.shown), Table.of(choice.test)
    results, bills = list(_fixed(choice, shown, test)), []
    about = {"name": choice.name, "data": choice.name, "split": choice.split}
    trained = _tuned(QualityJob(choice.shown, about), shown, advance)
    for method, estimates in _methods(trained, shown, test):
        picked = choices(estimates.quality, estimates.cost)
        points = outcomes(picked, test.scores, test.costs)
        results.append(_row(choice, method, estimates, points, shown, test))
        low, high = _interval(picked, test)
        bills.append(replace(_bill(choice, method, points, test), saved_low=low, saved_high=high))
        advance()
    bills.append(_bill(choice, "mix of fixed models", _fixed_points(test), test))
    return results + list(_noisy(choice, trained, shown, test)), bills


def steps(choice: ChoiceSet) -> int:
    """How often `run` advances."""
    return len(STIFFNESSES) * FOLDS + 3


def _tuned(job: QualityJob, shown: Table, advance: Advance) -> Trained:
    """Of some L2 penalties the one of the largest area under the curve of the shown prompts, each left out in turn."""
    tried = [train(replace(job, stiffness=stiffness), advance=advance) for stiffness in STIFFNESSES]
    return max(tried, key=lambda one: _area(one, shown))


def _area(trained: Trained, shown: Table) -> float:
    return aiq(curve(trained.quality, trained.cost_usd, shown.scores, shown.costs)[:, 1:], *_range(shown))


def _methods(trained: Trained, shown: Table, test: Table) -> Iterator[tuple[str, Estimates]]:
    quality, cost = _predicted(QualityModel.of(trained.file), test.prompts)
    yield "ossa", Estimates(quality, cost, trained.quality, trained.cost_usd)
    for method, fit in (("knn, wordllama", knn_quality), ("tf-idf, ridge", tfidf_quality)):
        yield method, _estimated(fit, shown, test)


def _predicted(model: QualityModel, prompts: Sequence[str]) -> tuple[Array, Array]:
    found = [model.predict(read(prompt)) for prompt in prompts]
    return np.stack([one.quality for one in found]), np.stack([one.cost_usd for one in found])


def _estimated(fit: Callable[[Sequence[str], Array], Scorer], shown: Table, test: Table) -> Estimates:
    models = len(shown.models)
    both = np.hstack((shown.scores, shown.costs))
    final = fit(shown.prompts, both)(test.prompts)
    folds = np.random.default_rng(7).integers(0, FOLDS, len(both))
    left_out = np.zeros_like(both)
    for fold in range(FOLDS):
        there, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        scorer = fit([shown.prompts[at] for at in rest], both[rest])
        left_out[there] = scorer([shown.prompts[at] for at in there])
    return Estimates(final[:, :models], final[:, models:], left_out[:, :models], left_out[:, models:])


def worth_of(choice: ChoiceSet, estimates: Estimates, shown: Table) -> float:
    """The least worth of a right answer that reaches the strong model's accuracy on the shown prompts, nearly."""
    points = curve(estimates.shown_quality, estimates.shown_cost, shown.scores, shown.costs)
    goal = shown.scores[:, shown.models.index(choice.strong)].mean() - NEARLY
    enough = points[points[:, 2] >= goal]
    return float(enough[enough[:, 1].argmin(), 0] if len(enough) else points[points[:, 2].argmax(), 0])


def _row(choice: ChoiceSet, method: str, estimates: Estimates, points: Array, shown: Table, test: Table) -> Result:
    picked = chosen(estimates.quality, estimates.cost, worth_of(choice, estimates, shown))
    strong, weak = (test.models.index(name) for name in (choice.strong, choice.weak))
    quality = estimates.quality
    return _result(
        choice.name,
        method,
        test,
        picked,
        apgr=apgr(quality[:, strong] - quality[:, weak], test.scores[:, strong], test.scores[:, weak]),
        aiq=aiq(points, *_range(test)),
        ece=expected_calibration_error(np.clip(quality, 0, 1).ravel(), test.scores.ravel()),
    )


def _fixed(choice: ChoiceSet, shown: Table, test: Table) -> Iterator[Result]:
    best = int(shown.scores.mean(axis=0).argmax())
    points = _fixed_points(test)
    for at, model in [(best, f"best single model ({test.models[best]})"), *enumerate(test.models)]:
        name = model if model.startswith("best single") else f"fixed: {model}"
        picked = np.full(len(test.prompts), at)
        yield _result(choice.name, name, test, picked, aiq=aiq(points[at : at + 1], *_range(test)))
    picked = np.random.default_rng(7).integers(0, len(test.models), len(test.prompts))
    ends = [test.models.index(choice.weak), test.models.index(choice.strong)]
    yield _result(choice.name, "random mix", test, picked, apgr=0.5, aiq=aiq(points[ends], *_range(test)))
    yield _result(choice.name, "mix of fixed models", test, picked, apgr=0.5, aiq=aiq(points, *_range(test)))


def _noisy(choice: ChoiceSet, trained: Trained, shown: Table, test: Table) -> Iterator[Result]:
    """Ours, at the same worth, on prompts with noise."""
    model = QualityModel.of(trained.file)
    none = np.zeros((0, len(test.models)))
    worth = worth_of(choice, Estimates(none, none, trained.quality, trained.cost_usd), shown)
    for noise, change in NOISES.items():
        rng = random.Random(NOISE_SEED)
        quality, cost = _predicted(model, [change(prompt, rng, "test") for prompt in test.prompts])
        error = expected_calibration_error(quality.ravel(), test.scores.ravel())
        yield _result(f"{choice.name}+{noise}", "ossa", test, chosen(quality, cost, worth), ece=error)


def _result(name: str, method: str, test: Table, picked: Array, **more: float) -> Result:
    rows = np.arange(len(test.prompts))
    scores = test.scores[rows, picked]
    low, high = interval(scores.tolist())
    mean, cost = float(scores.mean()), float(test.costs[rows, picked].mean())
    return Result(name, "model", method, len(rows), mean, low, high, cost_usd=cost, **more)


def _bill(choice: ChoiceSet, method: str, points: Array, test: Table) -> Bill:
    quality, costs = test.scores.mean(axis=0), test.costs.mean(axis=0)
    best = int(quality.argmax())
    strong = float(quality[test.models.index(choice.strong)])
    return Bill(
        choice.name,
        method,
        nearly_usd=cost_at(points, strong - NEARLY),
        equal_usd=cost_at(points, float(quality[best])),
        fixed_usd=float(costs[best]),
        top_accuracy=float(points[:, 1].max()),
    )


def _interval(picked: Array, test: Table) -> tuple[float, float]:
    """95% of the share of the best fixed model's cost that is saved at its accuracy."""
    rng, count = np.random.default_rng(7), len(test.prompts)
    saved = []
    for _ in range(RESAMPLED):
        rows = rng.integers(0, count, count)
        points = outcomes(picked[:, rows], test.scores[rows], test.costs[rows])
        quality, costs = test.scores[rows].mean(axis=0), test.costs[rows].mean(axis=0)
        best = int(quality.argmax())
        saved.append(1 - cost_at(points, float(quality[best])) / float(costs[best]))
    low, high = np.quantile(saved, (0.025, 0.975), method="nearest")
    return float(low), float(high)


def _fixed_points(test: Table) -> Array:
    return np.stack((test.costs.mean(axis=0), test.scores.mean(axis=0)), axis=1)


def _range(test: Table) -> tuple[float, float]:
    costs = test.costs.mean(axis=0)
    return float(costs.min()), float(costs.max())
