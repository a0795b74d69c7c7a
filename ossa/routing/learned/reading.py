"""A request's text as router models see it: read once, in bounded time, whatever it contains."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ossa.vortex.vectors import word_vectors

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
