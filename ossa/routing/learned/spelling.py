"""Reads unknown words as the word of a model's vocabulary that is one typing error away.

Uses symmetric deletes (Garbe 2012, SymSpell): two words one insertion, deletion, substitution or swap of letters apart
(Damerau 1964) share what is left of each when at most one letter is taken out. So a word is found by looking up its own
deletions: as many look-ups as it has letters, whatever the vocabulary's size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ossa.routing.learned.reading import Reading

MOST_KNOWN = 20_000
"""Words of a vocabulary, the most frequent ones."""

LEAST_LETTERS = 4
"""Shorter words have too many neighbours to tell which one was meant."""

MOST_LETTERS = 24
MOST_LOOKED_UP = 16
"""Unknown words of a text that are looked up; the rest stay as they are."""

_REMEMBERED = 4_096


@dataclass(frozen=True)
class Spelling:
    """
    Attributes:
        frequency: rank of each known word, 0 for the most frequent.
        deletions: known words by themselves and by what is left of them without one letter.
    """

    frequency: dict[str, int]
    deletions: dict[str, list[str]]
    _found: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, words: Iterable[str]) -> Spelling:
        """Builds the index of known words, given the most frequent first."""
        frequency = {word: at for at, word in enumerate(islice(words, MOST_KNOWN))}
        deletions: dict[str, list[str]] = {}
        for word in frequency:
            if LEAST_LETTERS - 1 <= len(word) <= MOST_LETTERS + 1 and word.isalpha():
                for left in {word, *_without_one(word)}:
                    deletions.setdefault(left, []).append(word)
        return cls(frequency, deletions)

    @classmethod
    def of_array(cls, array: NDArray[np.uint8] | None) -> Spelling:
        """Reads the array that `as_array` makes; None gives a spelling that knows, and changes, no word.

        Raises `UnicodeDecodeError` if it is not UTF-8.
        """
        return cls.of([] if array is None else array.tobytes().decode().split())

    def as_array(self) -> NDArray[np.uint8]:
        """Returns the known words as UTF-8, the most frequent first, separated by spaces."""
        return np.frombuffer(" ".join(self.frequency).encode(), dtype=np.uint8)

    def read(self, reading: Reading) -> Reading:
        """Returns the reading with unknown words replaced by the known ones they probably are."""
        meant: dict[str, str] = {}
        for word in self._unknown(reading.words):
            if (other := self._cached(word)) != word:
                meant[word] = other
        return reading.with_words(meant) if meant else reading

    def _unknown(self, words: Sequence[str]) -> Iterable[str]:
        unknown = [word for word in words if word not in self.frequency and LEAST_LETTERS <= len(word) <= MOST_LETTERS]
        return islice(dict.fromkeys(unknown), MOST_LOOKED_UP)

    def _cached(self, word: str) -> str:
        known = self._found.get(word)
        if known is None:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            known = self._found[word] = self.meant(word)
        return known

    def meant(self, word: str) -> str:
        """Returns the most frequent known word one typing error away, or the word itself."""
        near = {known for left in (word, *_without_one(word)) for known in self.deletions.get(left, ())}
        return min(
            (known for known in near if one_error_apart(word, known)), key=self.frequency.__getitem__, default=word
        )


def one_error_apart(one: str, other: str) -> bool:
    """Tells whether one insertion, deletion, substitution or swap of neighbours turns one word into the other."""
    start = _common(one, other)
    one, other = one[start:], other[start:]
    end = _common(one[::-1], other[::-1])
    one, other = one[: len(one) - end], other[: len(other) - end]
    if len(one) == len(other) == 2:
        return one == other[::-1]
    return len(one) <= 1 and len(other) <= 1 and one != other


def _common(one: str, other: str) -> int:
    """Returns the length of the common prefix."""
    return next(
        (at for at, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs),
        min(len(one), len(other)),
    )


def _without_one(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at in range(len(word))]
