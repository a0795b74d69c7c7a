"""Static word vectors."""

from __future__ import annotations

import numpy as np

from ossa.vortex.vectors import word_vectors


def test_a_word_has_its_vector_however_often_it_comes() -> None:
    vectors = word_vectors()
    words = ["zebra-new", "ladder-new", "zebra-new", "zebra-new", "candle-new"]
    together = vectors.of_words(words)
    alone = {word: vectors.of_words([word])[0] for word in words}
    assert all(np.array_equal(row, alone[word]) for row, word in zip(together, words, strict=True))
    assert len({alone[word].tobytes() for word in words}) == 3
