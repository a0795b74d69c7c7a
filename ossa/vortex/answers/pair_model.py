"""The second check's trained part: how likely two questions whose contents agree ask for the same thing.

Logistic regression over a dozen measures of a pair and one weight for each framing word that only one side has.
The weights (`pair_model.json`) come from `python -m benchmarks.training.answer_pairs`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise

from ossa.vortex.answers.reading import Reading, base

MEASURES = (
    "cosine",
    "overlap",
    "rarest_unmatched",
    "unmatched",
    "length_ratio",
    "content_words",
    "content_rarity",
    "other_forms",
    "inversions",
    "bigrams",
    "one_sided_persons",
    "same_act",
)


@dataclass(frozen=True)
class PairModel:
    """`rarity` is a word's inverse intent frequency, ln(intents / intents that use it); a new word has `rarest`."""

    bias: float
    measures: Mapping[str, float]
    framing: Mapping[str, float]
    rarity: Mapping[str, float]
    rarest: float

    def likelihood(self, first: Reading, second: Reading, cosine: float) -> float:
        """Returns a likelihood in [0, 1], which is the same whichever question comes first."""
        measured = zip(MEASURES, self.measure(first, second, cosine), strict=True)
        terms = [self.bias, *(self.measures[name] * value for name, value in measured)]
        terms += [self.framing.get(word, 0.0) for word in first.framing ^ second.framing]
        total = math.fsum(terms)  # the same in whatever order a set comes
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))

    def measure(self, first: Reading, second: Reading, cosine: float) -> list[float]:
        """Returns the measures of a pair in the order of `MEASURES`."""
        ours, theirs = set(first.words), set(second.words)
        shared, apart = ours & theirs, ours ^ theirs
        rarity = self.rarity_of
        union = math.fsum(map(rarity, ours | theirs)) or 1.0
        content = set(first.content) & set(second.content)
        forms_apart = sum(word not in first.framing and word not in second.framing for word in apart)
        pairs, second_pairs = set(pairwise(first.words)), set(pairwise(second.words))
        longest = max(len(first.words), len(second.words), 1)
        return [
            cosine,
            math.fsum(map(rarity, shared)) / union,
            max(map(rarity, apart), default=0.0) / self.rarest,
            math.fsum(map(rarity, apart)) / self.rarest,
            min(len(first.words), len(second.words)) / longest,
            math.log1p(len(content) + len(first.numbers)),
            math.fsum(map(rarity, content)) / self.rarest,
            forms_apart / (len(content) + 1),
            _inversions(first.content, second.content),
            len(pairs & second_pairs) / max(len(pairs | second_pairs), 1),
            float(bool(first.persons) != bool(second.persons)),
            float(first.act == second.act),
        ]

    def rarity_of(self, word: str) -> float:
        return self.rarity.get(base(word), self.rarest)


def _inversions(first: Sequence[str], second: Sequence[str]) -> float:
    """Returns the share of neighbouring words of `first` that stand the other way round in `second`."""
    place = {word: at for at, word in enumerate(second)}
    steps = [place[after] - place[before] for before, after in pairwise(first) if before in place and after in place]
    return sum(step < 0 for step in steps) / len(steps) if steps else 0.0


@lru_cache(maxsize=1)
def pair_model() -> PairModel:
    """Loaded once a process."""
    return from_json(files("ossa.vortex.answers").joinpath("pair_model.json").read_text(encoding="utf-8"))


def from_json(text: str) -> PairModel:
    values = json.loads(text)
    return PairModel(**{field.name: values[field.name] for field in fields(PairModel)})
