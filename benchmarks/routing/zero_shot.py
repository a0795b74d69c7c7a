"""Labels by their descriptions alone: what is learned comes from other labels' texts, a quarter of them in turn."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.context.measure import interval
from benchmarks.routing.baselines import embed
from benchmarks.routing.results import Result
from lab.routing.agents import AgentJob, train
from lab.routing.calibration import expected_calibration_error
from lab.routing.forms import LabelSet
from lab.routing.labels import Labelled
from ossa.routing.learned.agents import AgentMatcher, AgentTable
from ossa.routing.learned.reading import read

Array = NDArray[Any]
TURNS = 4
TOP = 5
STEPS = 2
"""How often `run` advances."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def run(chosen: LabelSet, background: Sequence[str], advance: Callable[[], object]) -> Iterator[Result]:
    with_names = {label: named(label, card) for label, card in chosen.cards.items()}
    for name, cards in ((f"{chosen.name} zero-shot", chosen.cards), (f"{chosen.name} zero-shot+name", with_names)):
        labels = sorted(cards)
        test = [one for one in chosen.test if one.label in cards]
        wanted = np.asarray([labels.index(one.label) for one in test])
        yield from _rows(name, "ossa", _ours(chosen, test, cards, background), wanted, calibrated=True)
        advance()
        asked, described = [one.text for one in test], [cards[label] for label in labels]
        yield from _rows(name, "cosine, wordllama", embed(asked) @ embed(described).T, wanted)
        vectoriser = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit(described)
        cosines = (vectoriser.transform(asked) @ vectoriser.transform(described).T).toarray()
        yield from _rows(name, "cosine, tf-idf", cosines, wanted)


def named(label: str, card: str) -> str:
    return f"{_CAMEL.sub(' ', label)}. {card}"


def turn_of(label: str) -> int:
    return zlib.crc32(label.encode()) % TURNS


def _ours(chosen: LabelSet, test: Sequence[Labelled], cards: Mapping[str, str], background: Sequence[str]) -> Array:
    labels = sorted(cards)
    likely = np.zeros((len(test), len(labels)), dtype=np.float32)
    for turn in range(TURNS):
        known = {label: card for label, card in cards.items() if turn_of(label) != turn}
        texts = [one for one in chosen.shown if one.label in known]
        about = {"name": chosen.name, "data": chosen.name, "split": "labels in turn"}
        matcher = AgentMatcher.of(train(AgentJob(texts, known, background, about)))
        table = AgentTable.of([cards[label] for label in labels], matcher)
        for at, one in enumerate(test):
            if turn_of(one.label) == turn:
                likely[at] = table.likely(read(one.text))
    return likely


def _rows(name: str, method: str, scores: Array, wanted: Array, *, calibrated: bool = False) -> Iterator[Result]:
    right = scores.argmax(axis=1) == wanted
    own = scores[np.arange(len(wanted)), wanted]
    top = (scores >= own[:, None]).sum(axis=1) <= TOP  # ties count against
    error = expected_calibration_error(scores.max(axis=1), right) if calibrated else None
    for label, found, ece in ((name, right, error), (f"{name}+top5", top, None)):
        low, high = interval(found.astype(float).tolist())
        yield Result(label, "label", method, len(found), float(found.mean()), low, high, ece=ece)
