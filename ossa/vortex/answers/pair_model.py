"""The second check's trained part: how likely two questions whose contents agree ask for the same thing.

Logistic regression over a dozen measures of a pair and one weight for each framing word that only one side has.
The weights (`pair_model.json`) come from `python -m benchmarks.training.answer_pairs`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """`rarity`: of a word, its inverse intent frequency, ln(intents / intents that use it); `rarest`: of a new one."""

    bias: float
    measures: Mapping[str, float]
    framing: Mapping[str, float]
    rarity: Mapping[str, float]
    rarest: float

    def likelihood(self, one: Reading, other: Reading, cosine: float) -> float:
        """In [0, 1]; the same whichever comes first."""
        measured = zip(MEASURES, self.measure(one, other, cosine), strict=True)
        terms = [self.bias, *(self.measures[name] * value for name, value in measured)]
        terms += [self.framing.get(word, 0.0) for word in one.framing ^ other.framing]
        total = math.fsum(terms)  # the same in whatever order a set comes
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))

    def measure(self, one: Reading, other: Reading, cosine: float) -> list[float]:
        """In the order of `MEASURES`."""
        ours, theirs = set(one.words), set(other.words)
        shared, apart = ours & theirs, ours ^ theirs
        rarity = self.rarity_of
        union = math.fsum(map(rarity, ours | theirs)) or 1.0
        content = set(one.content) & set(other.content)
        forms_apart = sum(word not in one.framing and word not in other.framing for word in apart)
        pairs, other_pairs = set(pairwise(one.words)), set(pairwise(other.words))
        longest = max(len(one.words), len(other.words), 1)
        return [
            cosine,
            math.fsum(map(rarity, shared)) / union,
            max(map(rarity, apart), default=0.0) / self.rarest,
            math.fsum(map(rarity, apart)) / self.rarest,
            min(len(one.words), len(other.words)) / longest,
            math.log1p(len(content) + len(one.numbers)),
            math.fsum(map(rarity, content)) / self.rarest,
            forms_apart / (len(content) + 1),
            _inversions(one.content, other.content),
            len(pairs & other_pairs) / max(len(pairs | other_pairs), 1),
            float(bool(one.persons) != bool(other.persons)),
            float(one.act == other.act),
        ]

    def rarity_of(self, word: str) -> float:
        return self.rarity.get(base(word), self.rarest)


def _inversions(one: Sequence[str], other: Sequence[str]) -> float:
    """Share of neighbouring content words of `one` that stand the other way round in `other`."""
    place = {word: at for at, word in enumerate(other)}
    steps = [place[after] - place[before] for before, after in pairwise(one) if before in place and after in place]
    return sum(step < 0 for step in steps) / len(steps) if steps else 0.0


@lru_cache(maxsize=1)
def pair_model() -> PairModel:
    """Loaded once a process."""
    return from_json(files("ossa.vortex.answers").joinpath("pair_model.json").read_text(encoding="utf-8"))


def from_json(text: str) -> PairModel:
    found = json.loads(text)
    return PairModel(
        bias=found["bias"],
        measures=found["measures"],
        framing=found["framing"],
        rarity=found["rarity"],
        rarest=found["rarest"],
    )
