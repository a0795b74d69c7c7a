"""Ways to make a context shorter: ours, and what one would do without it. All count tokens with the same vocabulary."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from benchmarks.context.problem import Problem
from ossa.vortex import compress
from ossa.vortex.tokens import counter_for
from ossa.vortex.vectors import plain_weights, word_vectors
from ossa.vortex.words import Floats, bm25, question_words, read_words, stem

Method = Callable[[Problem, float], str]

SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def ours(problem: Problem, reduction: float) -> str:
    """Exactly what was asked for: no floor."""
    return compress(problem.content, problem.question, reduction=reduction, floor=False).text


def ours_with_floor(problem: Problem, reduction: float) -> str:
    """What a turn gets: the floor may give more room."""
    return compress(problem.content, problem.question, reduction=reduction).text


def head_and_tail(problem: Problem, reduction: float) -> str:
    """The first and the last tokens, half of the budget each."""
    counter = counter_for()
    text = problem.content
    budget = counter.count(text) * (1 - reduction)
    keep = int(len(text) * (1 - reduction) / 2)
    while keep > 16 and counter.count(text[:keep]) + counter.count(text[-keep:]) > budget:
        keep = int(keep * 0.97)
    return f"{text[:keep]}\n{text[-keep:]}"


def tf_idf(problem: Problem, reduction: float) -> str:
    """Sentences or lines by cosine of TF-IDF to the question."""
    units = _units(problem.content)
    words = read_words([problem.question, *units])
    number_of: dict[str, int] = {}
    to_stem = np.asarray(
        [number_of.setdefault(stem(word), len(number_of)) for word in words.vocabulary], dtype=np.int64
    )
    terms = to_stem[words.ids]
    pairs, counts = np.unique(words.owner.astype(np.int64) * len(number_of) + terms, return_counts=True)
    owner, term = pairs // len(number_of), pairs % len(number_of)
    idf = np.log((1 + words.texts) / (1 + np.bincount(term, minlength=len(number_of)))) + 1
    weight = counts * idf[term]
    norms = np.sqrt(np.bincount(owner, weights=weight**2, minlength=words.texts))
    asked = np.zeros(len(number_of))
    asked[term[owner == 0]] = weight[owner == 0]
    dots = np.bincount(owner, weights=weight * asked[term], minlength=words.texts)
    scores = dots / np.maximum(norms * norms[0], 1e-9)
    return _take(units, scores[1:].astype(np.float32), problem, reduction)


def bm25_and_embeddings(problem: Problem, reduction: float) -> str:
    """The mean of BM25 (to 1 at most) and the cosine of static word vectors, by sentence or line, and nothing else."""
    units = _units(problem.content)
    words = read_words(units)
    vectors = word_vectors()
    lexical = bm25(words, question_words(problem.question))
    meaning = vectors.of_texts(words, plain_weights(words)) @ vectors.of_question(problem.question)
    return _take(units, lexical / max(1e-9, float(lexical.max(initial=0))) + meaning, problem, reduction)


def _units(content: str) -> list[str]:
    return [unit for unit in SENTENCE.split(content) if unit.strip()]


def _take(units: list[str], scores: Floats, problem: Problem, reduction: float) -> str:
    """The best that fit, in their order."""
    counter = counter_for()
    left = int(counter.count(problem.content) * (1 - reduction))
    kept = []
    for number in np.argsort(-scores, kind="stable"):
        cost = counter.count(units[number]) + 1
        if cost <= left:
            kept.append(int(number))
            left -= cost
    return "\n".join(units[number] for number in sorted(kept))


METHODS: dict[str, Method] = {
    "ossa": ours,
    "ossa+floor": ours_with_floor,
    "head+tail": head_and_tail,
    "tf-idf": tf_idf,
    "bm25+embeddings": bm25_and_embeddings,
}
