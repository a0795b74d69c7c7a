"""Texts as people really type them: other case, typing errors, and words around the request that ask nothing.

Training and tests share no wording: `part` says whose phrases are drawn.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from importlib.resources import files
from typing import Literal

Part = Literal["train", "test"]
Noise = Callable[[str, random.Random, Part], str]

TYPOS_EACH = 25
"""One typing error in so many characters, at least one."""

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {
    key: [row[at] for at in (place - 1, place + 1) if 0 <= at < len(row)]
    for row in _KEYS
    for place, key in enumerate(row)
}


def _phrases() -> dict[str, list[str]]:
    """Lines `part|place|phrase` of `phrases.txt`."""
    found: dict[str, list[str]] = {}
    text = files("lab.routing").joinpath("phrases.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        part, place, phrase = line.split("|")
        found.setdefault(f"{part} {place}", []).append(phrase)
    return found


_PHRASES = _phrases()


def typos(text: str, rng: random.Random, part: Part = "test") -> str:
    """Letters swapped, dropped, doubled or struck beside the right key."""
    letters = list(text)
    for _ in range(max(1, len(text) // TYPOS_EACH)):
        places = [at for at, letter in enumerate(letters) if letter.isalpha()]
        if len(places) < 2:
            break
        at = rng.choice(places)
        how = rng.randrange(4)
        if how == 0 and at + 1 < len(letters):
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
        elif how == 1:
            del letters[at]
        elif how == 2:
            letters.insert(at, letters[at])
        else:
            letters[at] = rng.choice(_BESIDE.get(letters[at].lower(), list(string.ascii_lowercase)))
    return "".join(letters)


def case(text: str, rng: random.Random, part: Part = "test") -> str:
    """All capitals, each word's first, or letters at random."""
    how = rng.randrange(3)
    if how == 0:
        return text.upper()
    return text.title() if how == 1 else "".join(rng.choice((letter.upper(), letter.lower())) for letter in text)


def paraphrase(text: str, rng: random.Random, part: Part = "test") -> str:
    """Words of courtesy before or after, contractions written out or drawn together, punctuation."""
    for short, long in (pair.split("=") for pair in _PHRASES["both contraction"]):
        if rng.random() < 0.5:
            text = text.replace(long, short) if long in text else text.replace(short, long)
    before = rng.choice(_PHRASES[f"{part} before"]) + " " if rng.random() < 0.6 else ""
    after = " " + rng.choice(_PHRASES[f"{part} after"]) if rng.random() < 0.4 or not before else ""
    return f"{before}{text}{after}{rng.choice(('', '.', '?', '!', ' ...'))}"


NOISES: dict[str, Noise] = {"typos": typos, "case": case, "paraphrase": paraphrase}
