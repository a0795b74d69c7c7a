"""What others do: nearest neighbours over static embeddings, and TF-IDF with a linear model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from lab.routing.calibration import best_temperature
from ossa.vortex.vectors import plain_weights, word_vectors
from ossa.vortex.words import read_words

Array = NDArray[Any]
Scorer = Callable[[Sequence[str]], Array]
"""Texts -> a score of each class, shape (texts, classes)."""

NEIGHBOURS = 20
LABEL_NEIGHBOURS = 5


def embed(texts: Sequence[str]) -> Array:
    """WordLlama's unit vectors; shape (texts, DIMENSIONS)."""
    words = read_words(list(texts))
    return word_vectors().of_texts(words, plain_weights(words))


def knn(texts: Sequence[str], values: Array, neighbours: int) -> Scorer:
    """The mean of `values` over the nearest texts, nearer ones weighing more; `values` has shape (texts, columns)."""
    known = embed(texts)

    def score(asked: Sequence[str]) -> Array:
        cosines = embed(asked) @ known.T
        near = np.argpartition(-cosines, min(neighbours, len(known) - 1), axis=1)[:, :neighbours]
        weight = np.maximum(np.take_along_axis(cosines, near, axis=1), 1e-3) ** 4
        found: Array = (weight[:, :, None] * values[near]).sum(axis=1) / weight.sum(axis=1)[:, None]
        return found

    return score


def knn_labels(texts: Sequence[str], wanted: Array, classes: int, kept: Sequence[str], kept_wanted: Array) -> Scorer:
    return knn(texts, np.eye(classes)[wanted], LABEL_NEIGHBOURS)


def tfidf_labels(texts: Sequence[str], wanted: Array, classes: int, kept: Sequence[str], kept_wanted: Array) -> Scorer:
    """Words and pairs of words, a linear support vector machine, its margins as likelihoods by one temperature."""
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"[^\W_]+")
    machine = LinearSVC(C=0.5, random_state=7).fit(vectoriser.fit_transform(texts), wanted)

    def margins(asked: Sequence[str]) -> Array:
        found = machine.decision_function(vectoriser.transform(asked))
        full = np.full((len(asked), classes), -9.0)
        full[:, machine.classes_] = np.stack((-found, found), axis=1) if found.ndim == 1 else found
        return full

    temperature = best_temperature(margins(kept), kept_wanted)

    def score(asked: Sequence[str]) -> Array:
        scaled = margins(asked) / temperature
        likely: Array = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return likely / likely.sum(axis=1, keepdims=True)

    return score


def knn_quality(texts: Sequence[str], values: Array) -> Scorer:
    return knn(texts, values, NEIGHBOURS)


def tfidf_quality(texts: Sequence[str], values: Array) -> Scorer:
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"[^\W_]+", min_df=2)
    model = Ridge(alpha=10.0, solver="sparse_cg", random_state=7).fit(vectoriser.fit_transform(texts), values)
    return lambda asked: np.asarray(model.predict(vectoriser.transform(asked))).reshape(len(asked), -1)
