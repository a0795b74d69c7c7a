"""Vectors of a text's words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ossa.vortex.vectors import word_vectors

Floats = NDArray[np.float32]


def vectors_of(words: Sequence[str]) -> Floats:
    """Of each word, in order, however often it comes; shape (words, DIMENSIONS)."""
    at = {word: number for number, word in enumerate(dict.fromkeys(words))}
    table = word_vectors().of_words(list(at))
    return table if len(at) == len(words) else table[[at[word] for word in words]]
