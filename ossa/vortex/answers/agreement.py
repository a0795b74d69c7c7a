"""The second check, before another question's answer is served: rules first, then the trained pair model."""

from __future__ import annotations

import re

from ossa.vortex.answers.pair_model import pair_model
from ossa.vortex.answers.reading import Reading, read

EQUAL = ("numbers", "quoted", "identifiers", "symbols", "names", "sequence", "asks", "act")
"""Of a reading, in the order in which they stand in the question and with repeats."""

ALWAYS_SAID = {"from", "by", "than", "before", "after", "over", "under", "without", "except", "between", "versus"}
"""Prepositions that no paraphrase leaves out."""

DIRECTED = ALWAYS_SAID | {"to", "into"}


def disagreement(one: Reading, other: Reading) -> str | None:
    """The first thing in which the questions differ and that changes an answer; None when there is none."""
    for name in EQUAL:
        if getattr(one, name) != getattr(other, name):
            return name
    if one.words != other.words:
        if not one.sequence:
            return "nothing to go by"
        if sorted(one.words) == sorted(other.words):
            return "order"
    if one.persons and other.persons and _apart(one.persons, other.persons):
        return "persons"
    if one.modality and other.modality and one.modality != other.modality:
        return "modality"
    if one.modals and other.modals and not one.modals & other.modals:
        return "modality"
    if ("past" in one.tense) != ("past" in other.tense) or (one.tense and other.tense and not one.tense & other.tense):
        return "tense"
    return "relations" if _crossed(one, other) else None


def _apart(one: str, other: str) -> bool:
    """The asker may speak of himself once or twice; where both are spoken of, who does what is their order."""
    return one != other if "2" in one + other else set(one) != set(other)


def _crossed(one: Reading, other: Reading) -> bool:
    """Whether a preposition both have stands before different words, or one that is always said is not."""
    before, other_before = ({at: word for word, at in reading.relations} for reading in (one, other))
    if any(other_before.get(at, word) != word for at, word in before.items()):
        return True
    for preposition in DIRECTED:
        ours, theirs = ({at for word, at in reading.relations if word == preposition} for reading in (one, other))
        if ours != theirs and (preposition in ALWAYS_SAID or not (ours <= theirs or theirs <= ours)):
            return True
    return False


_LAYOUT = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")

MAX_CHARS = 2000
"""A longer question is never answered with another's answer."""


def judgeable(question: str) -> bool:
    """Only one line of prose is: in code, tables and the like the layout is part of what is asked."""
    return len(question) <= MAX_CHARS and _LAYOUT.search(question.strip()) is None


def likelihood(question: str, earlier: str, cosine: float) -> float:
    """That both ask the same, 0 to 1; 0 where a rule speaks against it."""
    if not (judgeable(question) and judgeable(earlier)):
        return 0.0
    one, other = read(question), read(earlier)
    if disagreement(one, other) is not None:
        return 0.0
    return pair_model().likelihood(one, other, cosine)
