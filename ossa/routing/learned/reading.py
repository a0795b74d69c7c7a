"""A request's text as router models see it: read once, in bounded time, whatever it contains."""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ossa.vortex.vectors import DIMENSIONS, word_vectors

BUCKETS = 1 << 18
END_CHARACTERS = 768
"""Characters read from the beginning and from the end of a long text: a question stands at one of the two."""

MOST_WORDS = 240
GRAMS = (3, 4, 5)
_WORD = re.compile(r"[^\W_]{1,32}")
_PRIME = np.uint32(0x01000193)
_MIX = np.uint32(0x9E3779B1)
_SHIFT = np.uint32(32 - 18)

Buckets = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """The parts of a text that are read.

    Attributes:
        head: its beginning as written; the whole text if that is short.
        tail: its end as written; empty if `head` is the whole.
        characters: length of the text.
    """

    head: str
    tail: str
    characters: int

    @cached_property
    def head_words(self) -> list[str]:
        return words_of(self.head)

    @cached_property
    def tail_words(self) -> list[str]:
        """The last words of the tail; all words if the text is short."""
        return words_of(self.tail, last=True) if self.tail else self.head_words

    @cached_property
    def words(self) -> list[str]:
        return self.head_words + self.tail_words if self.tail else self.head_words

    def with_words(self, meant: Mapping[str, str]) -> Reading:
        """Returns the same text with these words replaced by others."""
        other = replace(self)
        for name in ("head_words", "tail_words") if self.tail else ("head_words",):
            other.__dict__[name] = [meant.get(word, word) for word in getattr(self, name)]
        return other

    @cached_property
    def vectors(self) -> Floats:
        """Vectors of the words, in order; shape (words, DIMENSIONS)."""
        return vectors_of(self.words)

    @cached_property
    def tail_vectors(self) -> Floats:
        return vectors_of(self.tail_words) if self.tail else self.vectors

    @cached_property
    def word_buckets(self) -> Buckets:
        """Buckets of the words, in order; shape (words,)."""
        return np.asarray([_word_bucket(word) for word in self.words], dtype=np.int64)

    @cached_property
    def pair_buckets(self) -> Buckets:
        """Buckets of pairs of neighbouring words; shape (words - 1,)."""
        one, other = self.word_buckets[:-1].astype(np.uint32), self.word_buckets[1:].astype(np.uint32)
        return _bucket(one * _PRIME + other + np.uint32(7))

    @cached_property
    def gram_buckets(self) -> Buckets:
        """Buckets of all sequences of 3 to 5 characters, with one space between words."""
        codes = np.frombuffer(f" {' '.join(self.words)} ".encode("utf-32-le", "replace"), dtype=np.uint32)
        grams, rolled = [], codes
        for size in range(2, GRAMS[-1] + 1):
            if len(codes) < size:
                break
            rolled = rolled[: len(codes) - size + 1] * _PRIME ^ codes[size - 1 :]
            if size in GRAMS:
                grams.append(_bucket(rolled + np.uint32(size)))
        return np.concatenate(grams) if grams else np.zeros(0, dtype=np.int64)


def read(text: str) -> Reading:
    """Reads a text. Lone surrogates are replaced, and width variants and ligatures by the letters they stand for."""
    characters = len(text)
    if characters <= 2 * END_CHARACTERS:
        return Reading(_clean(text), "", characters)
    return Reading(_clean(text[:END_CHARACTERS]), _clean(text[-END_CHARACTERS:]), characters)


def words_of(text: str, *, last: bool = False) -> list[str]:
    """Returns the first (or last) `MOST_WORDS` words in lower case."""
    words = _WORD.findall(text.lower())
    return words[-MOST_WORDS:] if last else words[:MOST_WORDS]


def vectors_of(words: Sequence[str]) -> Floats:
    """Returns the vector of each word, in order, repeated words too; shape (words, DIMENSIONS)."""
    row_of = {word: row for row, word in enumerate(dict.fromkeys(words))}
    table = word_vectors().of_words(list(row_of))
    return table if len(row_of) == len(words) else table[[row_of[word] for word in words]]


def _clean(text: str) -> str:
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode("utf-8"))


@lru_cache(maxsize=60_000)
def _word_bucket(word: str) -> int:
    return zlib.crc32(word.encode()) * 0x9E3779B1 % (1 << 32) >> 14


def _bucket(hashed: NDArray[np.uint32]) -> Buckets:
    return ((hashed * _MIX) >> _SHIFT).astype(np.int64)


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


Rows = NDArray[np.int32]

DENSE = 3 * DIMENSIONS
FIRST_WORDS = 2
"""First words ("how much", "please cancel") get a part of the dense vector, at half weight."""


@dataclass(frozen=True)
class Encoder:
    """The buckets that count, and how rare each is.

    Attributes:
        row_of: row of each bucket, -1 if training did not meet it; shape (BUCKETS,).
        rarity: idf of each row; shape (rows,).
        unmet: rarity of a word that training did not meet.
    """

    row_of: Rows
    rarity: Floats
    unmet: float

    @classmethod
    def of(cls, buckets: NDArray[np.int32], rarity: Floats, unmet: float) -> Encoder:
        row_of = np.full(BUCKETS, -1, dtype=np.int32)
        row_of[buckets] = np.arange(len(buckets), dtype=np.int32)
        return cls(row_of, rarity.astype(np.float32), unmet)

    def sparse(self, reading: Reading) -> tuple[Rows, Floats]:
        """Returns rows and their TF-IDF weights (1 + ln(count)) * idf, scaled to length 1."""
        return self._weighed(np.concatenate((reading.word_buckets, reading.pair_buckets, reading.gram_buckets)))

    def sparse_phrases(self, reading: Reading) -> tuple[Rows, Floats]:
        """Returns the same for words and pairs of words alone."""
        return self._weighed(np.concatenate((reading.word_buckets, reading.pair_buckets)))

    def _weighed(self, buckets: Buckets) -> tuple[Rows, Floats]:
        rows = self.row_of[buckets]
        rows, times = np.unique(rows[rows >= 0], return_counts=True)
        weights = (1.0 + np.log(times)) * self.rarity[rows]
        return rows, (weights / max(float(np.sqrt(weights @ weights)), 1e-6)).astype(np.float32)

    def dense(self, reading: Reading) -> Floats:
        """Returns unit vectors of the rarity-weighted mean, the largest entries and the first words; shape (DENSE,)."""
        words = reading.words
        if not words:
            return np.zeros(DENSE, dtype=np.float32)
        vectors = reading.vectors
        rows = self.row_of[reading.word_buckets]
        weights = np.where(rows >= 0, self.rarity[rows], self.unmet).astype(np.float32)
        parts = np.stack((weights @ vectors, vectors.max(axis=0), vectors[:FIRST_WORDS].sum(axis=0)))
        parts /= np.maximum(np.sqrt((parts * parts).sum(axis=1, keepdims=True)), 1e-6)
        parts[2] *= 0.5
        return parts.ravel()
