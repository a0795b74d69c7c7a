"""A text as numbers: rows of a table of hashed words and letters, and a dense vector of the words' meanings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.routing.learned.reading import BUCKETS, Buckets, Floats, Reading
from ossa.vortex.vectors import DIMENSIONS

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
