"""Splits that do not leak: texts that are nearly the same stand on one side."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

T = TypeVar("T")

NEAR = 0.65
"""Two texts are nearly the same from this share of common words and pairs of words on (Jaccard's index)."""

BANDS, ROWS = 16, 4
"""MinHash (Broder 1997) finds the candidates: texts that overlap by 0.65 meet with a likelihood of 0.96."""

COMPARED = 8
"""Texts of a bucket that each new one is compared with."""

_PRIME = (1 << 31) - 1
_WORD = re.compile(r"[^\W_]+")


def key_of(text: str) -> str:
    """The words alone, in lower case."""
    return " ".join(_WORD.findall(text.lower()))


def clusters(texts: Sequence[str], seed: int = 7) -> list[int]:
    """A number for each text; texts that are nearly the same, or by a chain of such, have the same one."""
    rng = np.random.default_rng(seed)
    factor, shift = rng.integers(1, _PRIME, BANDS * ROWS), rng.integers(0, _PRIME, BANDS * ROWS)
    parent = list(range(len(texts)))
    shingles = [_shingles(text) for text in texts]

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    met: dict[tuple[int, bytes], list[int]] = {}
    for at, mine in enumerate(shingles):
        numbers = np.fromiter(mine, dtype=np.int64) % _PRIME
        low = ((numbers[:, None] * factor + shift) % _PRIME).min(axis=0)
        for band in range(BANDS):
            there = met.setdefault((band, low[band * ROWS : (band + 1) * ROWS].tobytes()), [])
            for other in there:
                if root(at) != root(other) and _overlap(mine, shingles[other]) >= NEAR:
                    parent[root(at)] = root(other)
            if len(there) < COMPARED:
                there.append(at)
    return [root(at) for at in range(len(texts))]


def parts(texts: Sequence[str], shares: Sequence[float], salt: str = "") -> list[int]:
    """The part of each text, drawn by the digest of its cluster's first text: the same in every run."""
    names = clusters(texts)
    edges = np.cumsum(shares)[:-1]
    return [int(np.searchsorted(edges, _draw(salt + key_of(texts[name])), side="right")) for name in names]


def unseen(shown: Sequence[T], asked: Sequence[T], text: Callable[[T], str]) -> list[T]:
    """Returns those of `shown` whose words are not the words of one of `asked`."""
    there = {key_of(text(one)) for one in asked}
    return [one for one in shown if key_of(text(one)) not in there]


def _shingles(text: str) -> frozenset[int]:
    words = _WORD.findall(text.lower())
    pairs = [f"{one} {other}" for one, other in pairwise(words)]
    return frozenset(zlib.crc32(one.encode()) for one in (*words, *pairs)) or frozenset((0,))


def _overlap(one: frozenset[int], other: frozenset[int]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def _draw(text: str) -> float:
    return zlib.crc32(text.encode()) / 2**32
