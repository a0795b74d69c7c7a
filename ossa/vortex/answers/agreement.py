"""The second check's rules: may the answer to one question be an answer to another at all?"""

from __future__ import annotations

from ossa.vortex.answers.reading import Reading

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
