"""Label sets: ours, nearest neighbours and TF-IDF, on the test texts as they are and with noise."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.context.measure import interval
from benchmarks.routing.baselines import Scorer, knn_labels, tfidf_labels
from benchmarks.routing.results import Result
from lab.routing.calibration import expected_calibration_error, floor_for
from lab.routing.forms import LabelSet
from lab.routing.labels import OUT_OF_SCOPE, LabelJob, Labelled, train
from lab.routing.noise import NOISES
from ossa.routing.learned.labels import LabelModel
from ossa.routing.learned.reading import read

Array = NDArray[Any]
Advance = Callable[[], object]

SPARED = 0.988
"""The floor of every method lets this share of its right answers on the kept texts through."""

TOP = 5
NOISE_SEED = 3


@dataclass(frozen=True)
class Names:
    """Labels and groups of a set as numbers; a label's group in `group_of`."""

    labels: list[str]
    groups: list[str]
    group_of: Array

    @classmethod
    def of(cls, shown: Sequence[Labelled]) -> Names:
        group = {one.label: one.group for one in shown if one.label != OUT_OF_SCOPE}
        labels, groups = sorted(group), sorted(set(group.values()))
        return cls(labels, groups, np.asarray([groups.index(group[label]) for label in labels]))

    def inside(self, texts: Sequence[Labelled]) -> tuple[list[str], Array]:
        """The texts of known labels, and those as numbers."""
        at = {label: number for number, label in enumerate(self.labels)}
        chosen = [one for one in texts if one.label in at]
        return [one.text for one in chosen], np.asarray([at[one.label] for one in chosen])

    def grouped(self, likely: Array) -> Array:
        return likely @ np.eye(len(self.groups))[self.group_of]


def run(chosen: LabelSet, advance: Advance) -> list[Result]:
    names = Names.of(chosen.shown)
    found: list[Result] = []
    for method, scorer in _methods(chosen, names, advance):
        kept, kept_wanted = names.inside(chosen.kept)
        sure = scorer(kept)
        right = sure.argmax(axis=1) == kept_wanted
        if len(names.groups) > 1:
            right = names.group_of[sure.argmax(axis=1)] == names.group_of[kept_wanted]
        floor = floor_for(sure.max(axis=1), right, SPARED)
        found += _rows(chosen, names, method, scorer, floor)
        advance()
    return found


def steps(chosen: LabelSet) -> int:
    """How often `run` advances."""
    return LabelJob(chosen.shown, chosen.kept, {}).steps + 3


def _methods(chosen: LabelSet, names: Names, advance: Advance) -> Iterator[tuple[str, Scorer]]:
    texts, wanted = names.inside(chosen.shown)
    kept, kept_wanted = names.inside(chosen.kept)
    about = {"name": chosen.name, "data": chosen.name, "split": chosen.split}
    job = LabelJob(chosen.shown, chosen.kept, about, outside=chosen.outside, spared=SPARED)
    model = LabelModel.of(train(job, advance=advance))
    yield "ossa", lambda asked: np.stack([model.predict(read(text)).likely for text in asked])
    yield "knn, wordllama", knn_labels(texts, wanted, len(names.labels), kept, kept_wanted)
    yield "tf-idf, linear svm", tfidf_labels(texts, wanted, len(names.labels), kept, kept_wanted)


def _rows(chosen: LabelSet, names: Names, method: str, scorer: Scorer, floor: float) -> Iterator[Result]:
    texts, wanted = names.inside(chosen.test)
    outside = [one.text for one in chosen.test if one.label == OUT_OF_SCOPE]
    likely = scorer(texts)
    refused = float((scorer(outside).max(axis=1) < floor).mean()) if outside else None
    passed = likely.max(axis=1) >= floor
    yield _row(chosen.name, method, likely, wanted, oos_recall=refused)
    if outside:
        yield _share(f"{chosen.name}+refusing", method, (likely.argmax(axis=1) == wanted) & passed, refused)
    yield _share(f"{chosen.name}+top5", method, _in_top(likely, wanted))
    if len(names.groups) > 1:
        groups, wanted_groups = names.grouped(likely), names.group_of[wanted]
        yield _row(chosen.group_name, method, groups, wanted_groups, oos_recall=refused)
        if outside:
            right = (groups.argmax(axis=1) == wanted_groups) & passed
            yield _share(f"{chosen.group_name}+refusing", method, right, refused)
    for noise, change in NOISES.items():
        rng = random.Random(NOISE_SEED)
        noisy = scorer([change(text, rng, "test") for text in texts])
        yield _row(f"{chosen.name}+{noise}", method, noisy, wanted)
        if len(names.groups) > 1:
            yield _row(f"{chosen.group_name}+{noise}", method, names.grouped(noisy), names.group_of[wanted])


def _in_top(likely: Array, wanted: Array) -> Array:
    """Ties count against."""
    own = likely[np.arange(len(wanted)), wanted]
    found: Array = (likely >= own[:, None]).sum(axis=1) <= TOP
    return found


def _row(name: str, method: str, likely: Array, wanted: Array, *, oos_recall: float | None = None) -> Result:
    right = likely.argmax(axis=1) == wanted
    ece = expected_calibration_error(likely.max(axis=1), right)
    low, high = interval(right.astype(float).tolist())
    return Result(name, "label", method, len(right), float(right.mean()), low, high, oos_recall=oos_recall, ece=ece)


def _share(name: str, method: str, right: Array, oos_recall: float | None = None) -> Result:
    low, high = interval(right.astype(float).tolist())
    return Result(name, "label", method, len(right), float(right.mean()), low, high, oos_recall=oos_recall)
