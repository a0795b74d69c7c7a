"""Signals of a text besides its words: lengths, shares of kinds of characters, and marks of kinds of tasks."""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ossa.routing.learned.reading import Floats, Reading

_MARKS: Final = {
    "choices": re.compile(r"(?m)^\s*\(?[A-Da-d1-4][.)] "),
    "blank": re.compile(r"_{1,}(?=[\s.,])|_{3,}"),
    "code": re.compile(r"```|def \w+\(|\b(?:function|class|return|import|SELECT)\b|[;{}]\s*$", re.M),
    "asks to write": re.compile(r"(?i)\b(?:write|implement|create|generate|develop|fix|refactor)\b"),
    "mathematics": re.compile(r"\$|\\[a-z]+|\d\s*[-+*/^=<>]\s*\d|\b(?:prove|integral|equation|probability|modulo)\b"),
    "denial": re.compile(r"\b(?:not|NOT|never|EXCEPT|except|false|incorrect|least)\b"),
    "question": re.compile(r"\?"),
    "numeral": re.compile(r"\d+(?:[.,]\d+)?"),
    "statements": re.compile(r"\b(?:Statement [12I]|I{1,3}\.|I and II)"),
    "quotation": re.compile('["“”]'),
    "step by step": re.compile(r"(?i)\b(?:why|how|explain|because|therefore|step)\b"),
}
_SHARES: Final = {
    "digits": re.compile(r"\d"),
    "capitals": re.compile(r"[A-Z]"),
    "symbols": re.compile(r"[^\w\s.,?!'\"]"),
    "foreign": re.compile(r"[^\x00-\x7f]"),
    "lines": re.compile(r"\n"),
}
_NEEDED: Final = {
    "choices": (".", ")"),
    "blank": ("_",),
    "question": ("?",),
    "statements": ("Statement", "I"),
    "quotation": ('"', "“", "”"),
}
NAMES: Final = (
    "characters", "words of the end", "letters a word", "words a line of the end", "different words",
    *_MARKS, *(f"share of {name}" for name in _SHARES),
)  # fmt: skip


def signals(reading: Reading) -> Floats:
    """Returns the signals of the text's tail (the whole of a short text); shape (len(NAMES),). Counts are ln(1 + n)."""
    text = reading.tail or reading.head
    words = reading.tail_words
    length = max(1, len(text))
    lines = text.count("\n") + 1
    letters = sum(map(len, words))
    sizes = (
        math.log1p(reading.characters),
        math.log1p(len(words)),
        letters / max(1, len(words)) / 5,
        math.log1p(len(words) / lines),
        len(set(words)) / max(1, len(words)),
    )
    shares = [count / length for count in (_ascii_counts(text) if text.isascii() else _counts(text))]
    marks = (math.log1p(len(pattern.findall(text))) if _may(name, text) else 0.0 for name, pattern in _MARKS.items())
    return np.asarray((*sizes, *marks, *shares), dtype=np.float32)


def _may(name: str, text: str) -> bool:
    """Tells whether a mark can occur: looking for a character costs a tenth of a pattern."""
    needed = _NEEDED.get(name)
    return needed is None or any(character in text for character in needed)


def _counts(text: str) -> list[int]:
    return [len(pattern.findall(text)) for pattern in _SHARES.values()]


def _ascii_counts(text: str) -> list[int]:
    """Counts an ASCII text by a table of its characters."""
    counts = np.bincount(_KIND_OF[np.frombuffer(text.encode(), dtype=np.uint8)], minlength=len(_SHARES) + 1)
    return [int(count) for count in counts[: len(_SHARES)]]


def _kinds_of_ascii() -> NDArray[np.uint8]:
    """Returns for each ASCII character the share that counts it; no character is counted by two."""
    kinds = np.full(128, len(_SHARES), dtype=np.uint8)
    for at, pattern in reversed(list(enumerate(_SHARES.values()))):
        kinds[[code for code in range(128) if pattern.match(chr(code))]] = at
    return kinds


_KIND_OF = _kinds_of_ascii()
