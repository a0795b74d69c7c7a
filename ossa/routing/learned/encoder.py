"""A reading as numbers: rows of a table of hashed words and letters, and a dense vector of what the words mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.routing.learned.reading import BUCKETS, Buckets, Reading
from ossa.vortex.vectors import DIMENSIONS

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]

DENSE = 3 * DIMENSIONS
FIRST_WORDS = 2
"""They often say what is wanted ("how much", "please cancel"), and weigh half."""


@dataclass(frozen=True)
class Encoder:
    """Which buckets count, and how rare each is.

    Attributes:
        row_of: bucket -> row, -1 for one that was not met in training; shape (BUCKETS,).
        rarity: of each row, its idf; shape (rows,).
        unmet: the rarity of a word that was not met.
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
        """Rows and their weights, of length 1 together: (1 + ln(times)) * idf, as TF-IDF has it."""
        return self._weighed(np.concatenate((reading.word_buckets, reading.pair_buckets, reading.gram_buckets)))

    def sparse_phrases(self, reading: Reading) -> tuple[Rows, Floats]:
        """The same of the words and pairs of words alone."""
        return self._weighed(np.concatenate((reading.word_buckets, reading.pair_buckets)))

    def _weighed(self, buckets: Buckets) -> tuple[Rows, Floats]:
        rows = self.row_of[buckets]
        rows, times = np.unique(rows[rows >= 0], return_counts=True)
        weights = (1.0 + np.log(times)) * self.rarity[rows]
        return rows, (weights / max(float(np.sqrt(weights @ weights)), 1e-6)).astype(np.float32)

    def dense(self, reading: Reading) -> Floats:
        """Shape (DENSE,): unit vectors of the rarity-weighted mean, of the largest entries, of the first words."""
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
