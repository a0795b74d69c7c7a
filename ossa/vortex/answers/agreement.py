"""The second check's rules: may the answer to one question be an answer to another at all?"""

from __future__ import annotations

from ossa.vortex.answers.reading import Reading


def disagreement(one: Reading, other: Reading) -> str | None:
    """The first thing in which the questions differ and that changes an answer; None when there is none."""
    for name in ("numbers", "quoted", "identifiers", "negations", "asks", "act"):
        if getattr(one, name) != getattr(other, name):
            return name
    if not (one.names <= frozenset(other.words) and other.names <= frozenset(one.words)):
        return "names"
    if set(one.content) != set(other.content):
        return "content"
    if not one.content and not one.numbers and one.words != other.words:
        return "nothing to go by"
    if one.persons and other.persons and _apart(one.persons, other.persons):
        return "persons"
    if one.modality and other.modality and one.modality != other.modality:
        return "modality"
    if one.tense and other.tense and not one.tense & other.tense:
        return "tense"
    return "relations" if _crossed(one, other) else None


def _apart(one: str, other: str) -> bool:
    return set(one) != set(other) or one[-1] != other[-1]


def _crossed(one: Reading, other: Reading) -> bool:
    """Whether a preposition both have stands before different words: from English to French, to English from French."""
    ours, theirs = dict(one.relations), dict(other.relations)
    return any(theirs.get(preposition, word) != word for preposition, word in ours.items())
