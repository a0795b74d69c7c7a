"""Features of sentences that may tell whether they answer a question, or lead to what does."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ossa.vortex.piece import Piece
from ossa.vortex.words import STOP, Floats, Words, stem, terms_of

Numbers = NDArray[np.int64]

HOPS = 4
"""Best sentences that may lead on to others."""

ASKS = tuple(
    (re.compile(asked), re.compile(shown))
    for asked, shown in (
        (r"\bwho(?:se|m)?\b", r"\b[A-Z][a-z]+ (?:[A-Z]\.? )?[A-Z][a-z]+"),
        (r"\b(?:when|what year|which year|what date|how old)\b", r"\b(?:1\d|20)\d\d\b"),
        (
            r"\bhow (?:many|much|long|far|high|tall|big|large)\b",
            r"\b\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|hundred|million)\b",
        ),
        (
            r"\b(?:where|what (?:city|country|state|place))\b",
            r"\b(?:in|at|from|near|of) (?:the )?[A-Z][a-z]+",
        ),
    )
)
"""Patterns of questions and of their answers: a person, a time, a number, a place."""

NAMES = (
    "lexical",
    "meaning",
    "group lexical",
    "group meaning",
    "hand",
    "hand rank",
    "group rank",
    "titled",
    "bridged",
    "leads",
    "first",
    "second",
    "place",
    "length",
    "before",
    "after",
    "covers",
    "group covers",
    "adds",
    "hop",
    "hop title",
    "asked kind",
    "named",
    "is title",
    "fault",
    "alike",
    "best in group",
    "gap",
)


def features(
    pieces: Sequence[Piece],
    words: Words,
    vectors: Floats,
    groups: Numbers,
    question: str,
    asked: Sequence[str],
    parts: dict[str, Floats],
) -> Floats:
    """Shape (pieces, len(NAMES)).

    Args:
        groups: the paragraph of each piece, counted through; shape (pieces,).
        asked: stems of the question.
        parts: `lexical`, `meaning`, `group lexical`, `group meaning`, `named`, `titled`, `bridged`, `hand`: (pieces,).
    """
    count = len(pieces)
    made: dict[str, Floats] = {name: np.zeros(count, dtype=np.float32) for name in NAMES} | parts
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    sizes = np.diff(np.append(starts, count))
    inside = np.arange(count) - starts[groups]
    headed = np.asarray([start + 1 < count and pieces[start + 1].head == start for start in starts.tolist()])
    made["is title"] = (headed[groups] & (inside == 0)).astype(np.float32)
    order = inside - headed[groups]
    made["first"], made["second"] = (order == 0).astype(np.float32), (order == 1).astype(np.float32)
    made["place"] = (inside / np.maximum(sizes[groups], 1)).astype(np.float32)
    made["length"] = np.log1p(np.bincount(words.owner, minlength=count).astype(np.float32))
    hand = parts["hand"]
    top = max(float(hand.max(initial=0.0)), 1e-6)
    made["hand"] = np.asarray(hand / top, dtype=np.float32)
    made["gap"] = (top - hand) / (1.0 + top)
    made["hand rank"] = _rank(hand)
    best = np.maximum.reduceat(hand, starts)
    made["group rank"] = _rank(best)[groups]
    made["best in group"] = np.asarray(hand / np.maximum(best[groups], 1e-6), dtype=np.float32)
    edge = np.diff(groups, append=-1) != 0
    made["after"] = np.where(edge, 0.0, np.append(hand[1:], 0.0) / top).astype(np.float32)
    edge = np.diff(groups, prepend=-1) != 0
    made["before"] = np.where(edge, 0.0, np.append(0.0, hand[:-1]) / top).astype(np.float32)
    made["fault"] = np.asarray([piece.prior for piece in pieces], dtype=np.float32)
    _covered(made, words, groups, asked, hand)
    _hops(made, words, vectors, groups, starts, asked, hand)
    low = question.lower()
    for asked_for, shown in ASKS:
        if asked_for.search(low):
            made["asked kind"] = np.asarray([float(bool(shown.search(p.text))) for p in pieces], dtype=np.float32)
            break
    return np.stack([made[name] for name in NAMES], axis=1).astype(np.float32)


def _rank(values: Floats) -> Floats:
    """Returns 1 for the best, 1/2 for the next, and so on."""
    ranks = np.empty(len(values), dtype=np.float32)
    ranks[np.argsort(-values, kind="stable")] = 1.0 / np.arange(1, len(values) + 1)
    return ranks


def _covered(made: dict[str, Floats], words: Words, groups: Numbers, asked: Sequence[str], hand: Floats) -> None:
    """Measures the share of the question's words, by rarity, that a piece says, its group says, and only it adds."""
    if not asked:
        return
    terms = terms_of(words, asked)
    hit = terms >= 0
    said = np.zeros((words.texts, len(asked)), dtype=np.float32)
    said[words.owner[hit], terms[hit]] = 1.0
    by_group = np.zeros((int(groups[-1]) + 1, len(asked)), dtype=np.float32)
    np.maximum.at(by_group, groups, said)
    rarity = np.log(1 + len(by_group) / (0.5 + by_group.sum(axis=0))) * (by_group.sum(axis=0) > 0)
    rarity /= max(float(rarity.sum()), 1e-6)
    made["covers"] = (said @ rarity).astype(np.float32)
    made["group covers"] = (by_group @ rarity).astype(np.float32)[groups]
    lead = groups[int(np.argmax(hand))]
    made["adds"] = (np.maximum(said, 0.7 * by_group[groups]) @ (rarity * (1 - by_group[lead]))).astype(np.float32)


def _hops(
    made: dict[str, Floats],
    words: Words,
    vectors: Floats,
    groups: Numbers,
    starts: Numbers,
    asked: Sequence[str],
    hand: Floats,
) -> None:
    """Measures what a sentence shares with the best ones of other paragraphs that the question does not say."""
    best = np.argsort(-hand, kind="stable")[:HOPS]
    spans = np.searchsorted(words.owner, np.arange(words.texts + 1))
    question_stems = set(asked)
    useful = np.asarray(
        [word not in STOP and len(word) > 1 and stem(word) not in question_stems for word in words.vocabulary],
        dtype=bool,
    )
    pairs = np.unique(groups[words.owner] * len(words.vocabulary) + words.ids) if len(words.ids) else words.ids
    spread = np.bincount(pairs % max(1, len(words.vocabulary)), minlength=len(words.vocabulary))
    rarity = np.where(useful, np.log(1 + len(starts) / np.maximum(spread, 1)), 0.0).astype(np.float32)
    titles = np.zeros(len(groups), dtype=bool)
    titles[starts] = True
    title_words = titles[words.owner]
    for number in best:
        ids = words.ids[spans[number] : spans[number + 1]]
        weight = np.zeros(len(words.vocabulary), dtype=np.float32)
        weight[ids] = rarity[ids]
        whole = max(float(weight.sum()), 1e-6)
        once = np.bincount(words.owner, weights=weight[words.ids], minlength=words.texts) / whole
        elsewhere = groups != groups[number]
        part = float(hand[number]) / max(float(hand[best[0]]), 1e-6)
        made["hop"] = np.maximum(made["hop"], elsewhere * np.minimum(once, 1.0) * part).astype(np.float32)
        said = _sums(words, title_words & (weight[words.ids] > 0))
        sizes = _sums(words, title_words & useful[words.ids])
        by_title = (said / np.maximum(sizes, 1))[starts][groups] * elsewhere * part
        made["hop title"] = np.maximum(made["hop title"], by_title).astype(np.float32)
        made["alike"] = np.maximum(made["alike"], elsewhere * (vectors @ vectors[number]) * part).astype(np.float32)
    lead = int(best[0])
    # Whether a paragraph names the one that the best sentence stands in.
    first = int(starts[groups[lead]])
    name = set(words.ids[spans[first] : spans[first + 1]].tolist()) if spans[first + 1] - spans[first] <= 8 else set()
    if name:
        mask = np.zeros(len(words.vocabulary), dtype=np.float32)
        mask[list(name)] = rarity[list(name)]
        if mask.sum() > 0:
            said = np.bincount(words.owner, weights=mask[words.ids], minlength=words.texts) / mask.sum()
            made["leads"] = (np.minimum(said, 1.0) * (groups != groups[lead])).astype(np.float32)


def _sums(words: Words, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts the chosen words of each piece; shape (pieces,)."""
    return np.bincount(words.owner[chosen], minlength=words.texts)
