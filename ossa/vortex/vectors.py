"""Static word vectors (WordLlama's, 256 dimensions, in its wheel) and what they say of a text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ossa.contracts.errors import InvalidRequest
from ossa.vortex.words import STOP, Floats, Words, read_words

DIMENSIONS = 128
FEW_WORDS = 16
KNOWN_WORDS = 60_000
"""Words whose vectors are remembered; half a KiB each."""

AT_ONCE = 4096
"""Words added up at once: so many vectors stay in a core's cache."""


Encoder = Callable[[list[str]], Any]
"""Texts to vectors, shape (texts, dimensions): `SentenceTransformer(...).encode`, for one."""


class TextVectors(Protocol):
    """Unit vectors of the pieces of one content, and of what is asked about it."""

    def of_texts(self, words: Words, weights: Floats) -> Floats: ...

    def of_question(self, question: str) -> Floats: ...


class EncodedTexts:
    """`TextVectors` by an encoder of the caller's.

    Args:
        texts: the pieces that `words` will be of.
    """

    def __init__(self, encoder: Encoder, texts: Sequence[str]) -> None:
        self._encoder = encoder
        self._texts = list(texts)

    def of_texts(self, words: Words, weights: Floats) -> Floats:
        """Raises `InvalidRequest` for what is no vector a text."""
        return self._encoded(self._texts)

    def of_question(self, question: str) -> Floats:
        vector: Floats = self._encoded([question])[0]
        return vector

    def _encoded(self, texts: list[str]) -> Floats:
        if not texts:
            return np.zeros((0, 1), dtype=np.float32)
        made = np.asarray(self._encoder(texts), dtype=np.float32)
        if made.ndim != 2 or len(made) != len(texts) or not np.isfinite(made).all():
            raise InvalidRequest(
                f"the encoder must give one vector of numbers a text: of {len(texts)} texts it made shape {made.shape}",
                param="encoder",
            )
        return unit(made)


class WordVectors:
    """A vector a word: the mean of its tokens' vectors. Thread-safe."""

    def __init__(self) -> None:
        import wordllama

        loaded: Any = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
        self._table = np.asarray(loaded.embedding, dtype=np.float32)[:, :DIMENSIONS].copy()
        self._tokenizer: Any = loaded.tokenizer
        self._tokenizer.no_padding()
        self._rows = np.zeros((1024, DIMENSIONS), dtype=np.float32)
        self._row_of: dict[str, int] = {}
        self._lock = threading.Lock()

    def of_words(self, words: Sequence[str]) -> Floats:
        """Shape (words, DIMENSIONS); a word may come more than once."""
        with self._lock:
            missing = list(dict.fromkeys(word for word in words if word not in self._row_of))
            if len(self._row_of) + len(missing) > KNOWN_WORDS:
                self._row_of.clear()
                missing = list(dict.fromkeys(words))
            self._learn(missing)
            rows = [self._row_of[word] for word in words]
            vectors: Floats = self._rows[rows]
        return vectors

    def _encoded(self, words: Sequence[str]) -> list[Any]:
        """A batch costs a tenth of a millisecond before its first word: threads are woken for it."""
        if len(words) <= FEW_WORDS:
            return [self._tokenizer.encode(word, add_special_tokens=False) for word in words]
        encoded: list[Any] = self._tokenizer.encode_batch(list(words), add_special_tokens=False)
        return encoded

    def _learn(self, words: Sequence[str]) -> None:
        if not words:
            return
        first = len(self._row_of)
        tokens = [ids.ids or [0] for ids in self._encoded(words)]
        lengths = np.asarray([len(ids) for ids in tokens])
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        flat = np.asarray([token for ids in tokens for token in ids])
        made = np.concatenate(
            [
                np.add.reduceat(self._table[flat[starts[at] : end]], starts[at : at + AT_ONCE] - starts[at], axis=0)
                for at in range(0, len(words), AT_ONCE)
                for end in [starts[at + AT_ONCE] if at + AT_ONCE < len(words) else len(flat)]
            ]
        )
        while len(self._rows) < first + len(words):
            self._rows = np.concatenate((self._rows, np.zeros_like(self._rows)))
        self._rows[first : first + len(words)] = made / lengths[:, None]
        self._row_of.update({word: first + number for number, word in enumerate(words)})

    def of_texts(self, words: Words, weights: Floats) -> Floats:
        """Unit vectors of texts: the weighted sum of their words' vectors. Shape (texts, DIMENSIONS).

        Args:
            weights: one for each word of the vocabulary.
        """
        made = np.zeros((words.texts, DIMENSIONS), dtype=np.float32)
        if not len(words.ids):
            return made
        table = self.of_words(words.vocabulary) * weights[:, None]
        for at in range(0, len(words.ids), AT_ONCE):
            ids, owner = words.ids[at : at + AT_ONCE], words.owner[at : at + AT_ONCE]
            starts = np.flatnonzero(np.diff(owner, prepend=-1))
            made[owner[starts]] += np.add.reduceat(table[ids], starts, axis=0)
        return unit(made)

    def of_question(self, question: str) -> Floats:
        """Shape (DIMENSIONS,). Stop words count little."""
        words = read_words([question])
        vector: Floats = self.of_texts(words, plain_weights(words))[0]
        return vector


def plain_weights(words: Words) -> Floats:
    return np.asarray([0.1 if word in STOP else 1.0 for word in words.vocabulary], dtype=np.float32)


def rarity_weights(words: Words) -> Floats:
    """Rarer words weigh more: idf over the texts, stop words at a tenth."""
    if not len(words.ids):
        return plain_weights(words)
    pairs = np.unique(words.ids.astype(np.int64) * words.texts + words.owner)
    documents = np.bincount(pairs // words.texts, minlength=len(words.vocabulary))
    idf: Floats = np.log(1 + words.texts / (documents + 0.5)).astype(np.float32)
    return np.asarray(idf * plain_weights(words), dtype=np.float32)


def unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Floats = vectors / np.maximum(norms, 1e-9)
    return scaled


@lru_cache(maxsize=1)
def word_vectors() -> WordVectors:
    """Loaded once a process (a fifth of a second)."""
    return WordVectors()


SAMPLE = 384
"""Originals compared at most, evenly spread: the mean of so many moves by about 0.02."""

KEPT_SAMPLE = 1024


def fidelity(vectors: Floats, kept: Collection[int]) -> float:
    """Returns the mean over the originals of the largest cosine to a kept piece: 1 when all are kept, 0 when none is.

    Args:
        vectors: unit vectors of all pieces, shape (pieces, dimensions).
    """
    count = len(vectors)
    if not count or len(kept) == count:
        return 1.0
    if not kept:
        return 0.0
    chosen = np.asarray(sorted(kept))
    originals = np.arange(count) if count <= SAMPLE else np.linspace(0, count - 1, SAMPLE).astype(int)
    rest = originals[~np.isin(originals, chosen)]
    standing = (
        chosen if len(chosen) <= KEPT_SAMPLE else chosen[np.linspace(0, len(chosen) - 1, KEPT_SAMPLE).astype(int)]
    )
    if not len(rest):
        return 1.0
    nearest = np.clip((vectors[rest] @ vectors[standing].T).max(axis=1), 0.0, 1.0)
    return float((nearest.sum() + (len(originals) - len(rest))) / len(originals))
