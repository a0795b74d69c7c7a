"""The second check, before another question's answer is served: rules first, then the trained pair model."""

from __future__ import annotations

import re

from ossa.vortex.answers.pair_model import pair_model
from ossa.vortex.answers.reading import Reading, read

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
