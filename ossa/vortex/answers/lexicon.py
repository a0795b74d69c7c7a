"""The word lists beside this file, read once a process. A line that begins with # is for people."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

_DOUBLED = re.compile(r"([bdfgklmnprt])\1$")


def _lines(name: str) -> list[str]:
    text = files("ossa.vortex.answers").joinpath(name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _words(name: str) -> frozenset[str]:
    return frozenset(word for line in _lines(name) for word in line.split())


@lru_cache(maxsize=50_000)
def base(word: str) -> str:
    """The word without its plural or verb ending; comparatives and adverbs stay what they are."""
    if len(word) <= 3 or not word.isalpha() or word.endswith("ss"):
        return word
    short = word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            short = word[: -len(ending)]
            break
    if short is not word:
        short = _DOUBLED.sub(r"\1", short)
    return short[:-1] if short.endswith("e") and len(short) > 3 else short


def _groups() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in _lines("alike.txt"):
        group = line.split()
        for word in group:
            found[word] = group[0]
            found.setdefault(base(word), group[0])
    return found


FRAMING = _words("framing.txt")
NEGATIONS = _words("negations.txt")
PREPOSITIONS = _words("prepositions.txt")
VERBS = _words("verbs.txt")
AGAIN = _words("again.txt")
ALIKE = _groups()
NUMERALS = dict(line.split() for line in _lines("numerals.txt"))
CONTRACTIONS = {line.split()[0]: line.split()[1:] for line in _lines("contractions.txt")}
ADDRESSING = re.compile("|".join(rf"\b{line}\b" for line in _lines("addressing.txt")))


def canonical(word: str) -> str:
    """One name for a content word and all that mean the same."""
    return ALIKE.get(word) or ALIKE.get(base(word)) or base(word)
