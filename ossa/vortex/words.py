"""Words as numbers: one pass over the text, then everything is counted with numpy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

WORD = re.compile(r"[^\W_]+")
_ENDINGS = re.compile(r"(?:ingly|edly|ings|ing|ies|ied|ers|est|ed|es|er|ly|s)$")

STOP = frozenset(files("ossa.vortex").joinpath("stop_words.txt").read_text(encoding="utf-8").split())
"""English words that say little about what a text is about."""


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Crude and stable: the same for `fail`, `fails`, `failed`, `failing`."""
    if len(word) <= 4 or not word.isalpha():
        return word
    short = _ENDINGS.sub("", word)
    return short if len(short) >= 3 else word


@dataclass(frozen=True)
class Words:
    """The words of many texts.

    Attributes:
        vocabulary: distinct lower-case words.
        ids: the words of all texts one after the other, by vocabulary number; shape (N,).
        owner: which text each belongs to, rising; shape (N,).
        texts: how many texts there are.
    """

    vocabulary: list[str]
    ids: Ints
    owner: Ints
    texts: int


def read_words(texts: Sequence[str]) -> Words:
    numbers: dict[str, int] = {}
    ids: list[int] = []
    lengths: list[int] = []
    for text in texts:
        tokens = WORD.findall(text.lower())
        lengths.append(len(tokens))
        ids.extend([numbers.setdefault(word, len(numbers)) for word in tokens])
    owner = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
    return Words(list(numbers), np.asarray(ids, dtype=np.int32), owner, len(texts))


def question_words(question: str, *, limit: int = 96) -> list[str]:
    """Distinct stems worth looking for; of a long question the last ones, which are nearest to what is asked."""
    stems = [stem(word) for word in WORD.findall(question.lower()) if word not in STOP]
    return list(dict.fromkeys(reversed(stems)))[:limit]


def terms_of(words: Words, question: Sequence[str]) -> NDArray[np.int64]:
    """Returns the number of the question's stem that each word is, -1 for none; shape as `words.ids`."""
    numbers = {term: number for number, term in enumerate(question)}
    by_word = np.asarray([numbers.get(stem(word), -1) for word in words.vocabulary], dtype=np.int64)
    return by_word[words.ids] if len(words.ids) else words.ids.astype(np.int64)


def bm25(words: Words, question: Sequence[str], *, k1: float = 1.2, b: float = 0.5) -> Floats:
    """Okapi BM25 of each text for the stems of a question (Robertson and Zaragoza 2009, eq. 3.15); shape (texts,)."""
    scores = np.zeros(words.texts, dtype=np.float32)
    if not question or not words.texts:
        return scores
    terms = terms_of(words, question)
    hit = terms >= 0
    if not hit.any():
        return scores
    length = np.bincount(words.owner, minlength=words.texts).astype(np.float32)
    norm = k1 * (1 - b + b * length / max(1.0, float(length.mean())))
    pairs, counts = np.unique(words.owner[hit].astype(np.int64) * len(question) + terms[hit], return_counts=True)
    owner, term = pairs // len(question), pairs % len(question)
    documents = np.bincount(term, minlength=len(question))
    idf = np.log(1 + (words.texts - documents + 0.5) / (documents + 0.5))
    np.add.at(scores, owner, (idf[term] * counts * (k1 + 1) / (counts + norm[owner])).astype(np.float32))
    return scores
