"""A request's text as a router sees it: read once, in bounded time, whatever it is."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ossa.routing.learned.meanings import vectors_of

BUCKETS = 1 << 18
END_CHARACTERS = 768
"""Of a long text so much of its beginning and of its end is read: a question stands at one of the two."""

MOST_WORDS = 240
GRAMS = (3, 4, 5)
_WORD = re.compile(r"[^\W_]{1,32}")
_PRIME = np.uint32(0x01000193)
_MIX = np.uint32(0x9E3779B1)
_SHIFT = np.uint32(32 - 18)

Buckets = NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """What was read of a text.

    Attributes:
        head: its beginning as written; the whole text when that is short.
        tail: its end as written; empty when `head` is the whole.
        characters: how long the text was.
    """

    head: str
    tail: str
    characters: int

    @cached_property
    def head_words(self) -> list[str]:
        return words_of(self.head)

    @cached_property
    def tail_words(self) -> list[str]:
        """Of the end, the last ones; of a short text all."""
        return words_of(self.tail, last=True) if self.tail else self.head_words

    @cached_property
    def words(self) -> list[str]:
        return self.head_words + self.tail_words if self.tail else self.head_words

    def with_words(self, meant: Mapping[str, str]) -> Reading:
        """The same text with these words read as others."""
        other = replace(self)
        for name in ("head_words", "tail_words") if self.tail else ("head_words",):
            other.__dict__[name] = [meant.get(word, word) for word in getattr(self, name)]
        return other

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """Of each word, in order; shape (words, DIMENSIONS)."""
        return vectors_of(self.words)

    @cached_property
    def tail_vectors(self) -> NDArray[np.float32]:
        return vectors_of(self.tail_words) if self.tail else self.vectors

    @cached_property
    def word_buckets(self) -> Buckets:
        """Of each word, in order; shape (words,)."""
        return np.asarray([_word_bucket(word) for word in self.words], dtype=np.int64)

    @cached_property
    def pair_buckets(self) -> Buckets:
        """Of each two words that follow one another; shape (words - 1,)."""
        one, other = self.word_buckets[:-1].astype(np.uint32), self.word_buckets[1:].astype(np.uint32)
        return _bucket(one * _PRIME + other + np.uint32(7))

    @cached_property
    def gram_buckets(self) -> Buckets:
        """Of the 3 to 5 characters from each place on, words apart by one space."""
        codes = np.frombuffer(f" {' '.join(self.words)} ".encode("utf-32-le", "replace"), dtype=np.uint32)
        made, rolled = [], codes
        for size in range(2, GRAMS[-1] + 1):
            if len(codes) < size:
                break
            rolled = rolled[: len(codes) - size + 1] * _PRIME ^ codes[size - 1 :]
            if size in GRAMS:
                made.append(_bucket(rolled + np.uint32(size)))
        return np.concatenate(made) if made else np.zeros(0, dtype=np.int64)


def read(text: str) -> Reading:
    """Control characters and lone surrogates count as spaces; width variants and ligatures as what they stand for."""
    characters = len(text)
    if characters <= 2 * END_CHARACTERS:
        return Reading(_clean(text), "", characters)
    return Reading(_clean(text[:END_CHARACTERS]), _clean(text[-END_CHARACTERS:]), characters)


def words_of(text: str, *, last: bool = False) -> list[str]:
    """The first `MOST_WORDS`, or the last, in lower case."""
    found = _WORD.findall(text.lower())
    return found[-MOST_WORDS:] if last else found[:MOST_WORDS]


def _clean(text: str) -> str:
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode("utf-8"))


@lru_cache(maxsize=60_000)
def _word_bucket(word: str) -> int:
    return zlib.crc32(word.encode()) * 0x9E3779B1 % (1 << 32) >> 14


def _bucket(hashed: NDArray[np.uint32]) -> Buckets:
    return ((hashed * _MIX) >> _SHIFT).astype(np.int64)
