"""The second check, before another question's answer is served: rules first, then the trained pair model.

The model tells how likely two questions whose contents agree ask for the same thing: a logistic regression over a dozen
measures of a pair and one weight for each framing word that only one side has. The weights (`pair_model.json`) come
from `python -m benchmarks.training.answer_pairs`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise

from ossa.vortex.answers.reading import Reading, base, read

EQUAL = ("numbers", "quoted", "identifiers", "symbols", "names", "sequence", "asks", "act")
"""Fields of a reading that must be equal: their items in the order of the question, with repeats."""

ALWAYS_SAID = {"from", "by", "than", "before", "after", "over", "under", "without", "except", "between", "versus"}
"""No paraphrase leaves these prepositions out."""

DIRECTED = ALWAYS_SAID | {"to", "into"}


def disagreement(first: Reading, second: Reading) -> str | None:
    """Names the first difference between two questions that changes an answer; None when there is none."""
    for name in EQUAL:
        if getattr(first, name) != getattr(second, name):
            return name
    if first.words != second.words:
        if not first.sequence:
            return "nothing to go by"
        if sorted(first.words) == sorted(second.words):
            return "order"
    if first.persons and second.persons and _apart(first.persons, second.persons):
        return "persons"
    if first.modality and second.modality and first.modality != second.modality:
        return "modality"
    if first.modals and second.modals and not first.modals & second.modals:
        return "modality"
    if ("past" in first.tense) != ("past" in second.tense) or (
        first.tense and second.tense and not first.tense & second.tense
    ):
        return "tense"
    return "relations" if _crossed(first, second) else None


def _apart(first: str, second: str) -> bool:
    """Whether the persons differ. How often one is spoken of is no matter; of two, the order says who acts."""
    return first != second if "2" in first + second else set(first) != set(second)


def _crossed(first: Reading, second: Reading) -> bool:
    """Whether a shared preposition stands before different words, or one that no paraphrase leaves out is missing."""
    before, second_before = ({at: word for word, at in reading.relations} for reading in (first, second))
    if any(second_before.get(at, word) != word for at, word in before.items()):
        return True
    for preposition in DIRECTED:
        ours, theirs = ({at for word, at in reading.relations if word == preposition} for reading in (first, second))
        if ours != theirs and (preposition in ALWAYS_SAID or not (ours <= theirs or theirs <= ours)):
            return True
    return False


_LAYOUT = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")

MAX_CHARS = 2000
"""A question of more characters is never answered with another's answer."""


def judgeable(question: str) -> bool:
    """Whether the question is one line of prose. In code, tables and the like the layout is part of the question."""
    return len(question) <= MAX_CHARS and _LAYOUT.search(question.strip()) is None


def likelihood(question: str, earlier: str, cosine: float) -> float:
    """Estimates the chance that both ask the same, from 0 to 1. It is 0 where a rule speaks against it."""
    if not (judgeable(question) and judgeable(earlier)):
        return 0.0
    first, second = read(question), read(earlier)
    if disagreement(first, second) is not None:
        return 0.0
    return pair_model().likelihood(first, second, cosine)


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
        measured = self.measure(first, second, cosine)
        terms = [self.bias, *(self.measures[name] * value for name, value in measured.items())]
        terms += [self.framing.get(word, 0.0) for word in first.framing ^ second.framing]
        total = math.fsum(terms)  # the same in whatever order a set comes
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))

    def measure(self, first: Reading, second: Reading, cosine: float) -> dict[str, float]:
        """Returns the measures of a pair by name."""
        ours, theirs = set(first.words), set(second.words)
        shared, apart = ours & theirs, ours ^ theirs
        rarity = self.rarity_of
        union = math.fsum(map(rarity, ours | theirs)) or 1.0
        content = set(first.content) & set(second.content)
        forms_apart = sum(word not in first.framing and word not in second.framing for word in apart)
        pairs, second_pairs = set(pairwise(first.words)), set(pairwise(second.words))
        longest = max(len(first.words), len(second.words), 1)
        return {
            "cosine": cosine,
            "overlap": math.fsum(map(rarity, shared)) / union,
            "rarest_unmatched": max(map(rarity, apart), default=0.0) / self.rarest,
            "unmatched": math.fsum(map(rarity, apart)) / self.rarest,
            "length_ratio": min(len(first.words), len(second.words)) / longest,
            "content_words": math.log1p(len(content) + len(first.numbers)),
            "content_rarity": math.fsum(map(rarity, content)) / self.rarest,
            "other_forms": forms_apart / (len(content) + 1),
            "inversions": _inversions(first.content, second.content),
            "bigrams": len(pairs & second_pairs) / max(len(pairs | second_pairs), 1),
            "one_sided_persons": float(bool(first.persons) != bool(second.persons)),
            "same_act": float(first.act == second.act),
        }

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
