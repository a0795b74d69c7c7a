"""How much each piece is worth to the question at hand, from 0 upwards."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ossa.contracts.compression import Kind
from ossa.vortex.piece import Block, Piece
from ossa.vortex.signals import names_in
from ossa.vortex.vectors import WordVectors, rarity_weights, unit
from ossa.vortex.words import Floats, Words, bm25, question_words, read_words

GROUPS = 400
"""Of more groups the titles are not looked for."""

BEST = 4
"""Pieces whose text may lead on to another group."""


@dataclass(frozen=True)
class Weights:
    """Of the parts of a score. `lexical` and `meaning` are of the piece, `group_*` of what it stands in.

    `spread`: standard deviation, in pieces, of the bell over which the score of a piece's neighbours counts.
    `named`: for what the question calls by name. `odd`: for a rare template. `prior`: for a piece's prior.
    `title`: for a group whose title the question says; `bridge`: for one whose title the best pieces say (the second
    step of a question that needs two); `first`: for a group's first piece, which says what it is about.
    `length`: worth is divided by this power of the tokens: the best pieces (0) or the best use of the budget (1).
    """

    lexical: float = 1.0
    meaning: float = 1.0
    group_lexical: float = 0.0
    group_meaning: float = 0.0
    spread: float = 0.0
    named: float = 2.0
    prior: float = 0.5
    odd: float = 0.0
    title: float = 0.0
    bridge: float = 0.0
    first: float = 0.0
    length: float = 0.5


WEIGHTS: Mapping[Kind, Weights] = {
    "prose": Weights(1.0, 1.0, 1.5, 1.5, prior=0.1, title=1.0, bridge=1.5, first=0.8, length=0.3),
    "dialogue": Weights(0.0, 0.0, 1.0, 1.0, spread=20.0, prior=0.0, length=0.0),
    "log": Weights(1.0, 0.7, named=0.3, prior=3.0, odd=0.7),
    "shell": Weights(1.0, 0.7, named=0.5, prior=2.0, odd=0.3),
    "stack": Weights(0.7, 0.5, named=0.7, prior=1.5),
    "table": Weights(1.0, 0.7, named=1.0, prior=1.5, odd=0.5),
    "json": Weights(1.0, 0.3, named=2.0, prior=2.0, odd=0.4),
    "code": Weights(1.0, 1.5, named=0.3, prior=0.7, length=0.6),
    "diff": Weights(0.7, 0.5, named=1.0, prior=1.2),
}


@dataclass(frozen=True)
class Scored:
    """`scores`, shape (pieces,); `vectors`, unit vectors of the pieces, shape (pieces, dimensions); `words` of them."""

    scores: Floats
    vectors: Floats
    words: Words


def score(
    blocks: Sequence[Block], question: str, vectors: WordVectors, weights: Mapping[Kind, Weights] = WEIGHTS
) -> Scored:
    pieces = [piece for block in blocks for piece in block.pieces]
    words = read_words([piece.text for piece in pieces])
    rarity = rarity_weights(words)
    made = vectors.of_texts(words, rarity)
    asked = question_words(question)
    asked_vector = vectors.of_question(question) if asked else np.zeros(made.shape[1], dtype=np.float32)
    lexical = _scaled(bm25(words, asked))
    meaning = np.maximum(0.0, made @ asked_vector) if asked else np.zeros(len(pieces), dtype=np.float32)
    groups = _groups(pieces)
    group_lexical, group_meaning = _of_groups(words, groups, made, asked, asked_vector)
    named = _named(pieces, question)
    odd = _oddness(pieces)
    total = np.zeros(len(pieces), dtype=np.float32)
    at = 0
    for block in blocks:
        span = slice(at, at + len(block.pieces))
        at = span.stop
        w = weights[block.kind]
        if block.kind == "json" and question:
            lexical[span] *= _news(block.pieces, question)
        own = w.lexical * lexical[span] + w.meaning * meaning[span]
        own += w.group_lexical * group_lexical[span] + w.group_meaning * group_meaning[span]
        if w.spread:
            own = smooth(own, w.spread)
        own += w.named * named[span] + w.odd * odd[span]
        own += w.prior * np.asarray([piece.prior for piece in block.pieces], dtype=np.float32)
        total[span] = own * block.weight
    if any(weights[block.kind].title or weights[block.kind].bridge for block in blocks):
        per_piece = [weights[block.kind] for block in blocks for _ in block.pieces]
        total += titles(pieces, per_piece, groups, total, question)
    return Scored(total, made, words)


def _news(pieces: Sequence[Piece], question: str) -> Floats:
    """A field whose value the question says already tells it nothing new."""
    folded = question.casefold()
    values = [piece.text.partition(": ")[2].strip().casefold() for piece in pieces]
    return np.asarray([0.2 if value and value in folded else 1.0 for value in values], dtype=np.float32)


def titles(
    pieces: Sequence[Piece],
    weights: Sequence[Weights],
    groups: np.ndarray[tuple[int], np.dtype[np.int64]],
    scores: Floats,
    question: str,
) -> Floats:
    """What is added for titles that the question or the best pieces say; shape (pieces,)."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1)) if len(groups) else groups
    added = np.zeros(len(pieces), dtype=np.float32)
    if not 2 <= len(starts) <= GROUPS:
        return added
    names = [_title(pieces, int(start)) for start in starts]
    asked = question.casefold()
    said = np.asarray([1.0 if name and _says(asked, name) else 0.0 for name in names], dtype=np.float32)
    by_group = np.asarray([w.title for w in weights], dtype=np.float32) * said[groups]
    best = np.argsort(-(scores + by_group), kind="stable")[:BEST]
    bridged = np.zeros(len(starts), dtype=np.float32)
    top = float((scores + by_group)[best[0]])
    for number in best:
        text = pieces[number].text.casefold()
        share = float((scores + by_group)[number]) / top if top > 0 else 0.0
        for group, name in enumerate(names):
            if name and group != groups[number] and _says(text, name):
                bridged[group] = max(bridged[group], share)
    added += by_group + np.asarray([w.bridge for w in weights], dtype=np.float32) * bridged[groups]
    related = np.maximum(said, bridged)
    for start, relation in zip(starts, related, strict=True):
        first = int(start) + (1 if int(start) + 1 < len(pieces) and pieces[int(start) + 1].head == start else 0)
        added[first] += weights[first].first * (0.3 + float(relation))
    return added


def _title(pieces: Sequence[Piece], start: int) -> str:
    """A group's title without what stands in brackets, folded; empty when it has none."""
    text = pieces[start].text
    if start + 1 < len(pieces) and pieces[start + 1].head == start:
        return re.sub(r"\s*\([^)]*\)\s*$", "", text).casefold().strip()
    given = re.match(r"Document \[\d+\] \(Title: (.*?)\) ", text)
    return given.group(1).casefold() if given else ""


def _says(text: str, name: str) -> bool:
    return len(name) >= 3 and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def smooth(values: Floats, spread: float) -> Floats:
    """The mean with neighbours under a bell of that standard deviation; what stands alone keeps half its own."""
    if len(values) < 3:
        return values
    reach = min(len(values) - 1, int(3 * spread))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / spread) ** 2).astype(np.float32)
    summed = (
        np.convolve(values, bell, mode="same") if reach < len(values) // 2 else np.convolve(values, bell)[reach:-reach]
    )
    counted = np.convolve(np.ones_like(values), bell, mode="same" if reach < len(values) // 2 else "full")
    counted = counted if reach < len(values) // 2 else counted[reach:-reach]
    found: Floats = (summed / counted).astype(np.float32)
    return found


def _scaled(values: Floats) -> Floats:
    """To at most 1."""
    top = float(values.max()) if len(values) else 0.0
    return values / top if top > 0 else values


def _groups(pieces: Sequence[Piece]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    numbers: dict[tuple[int, int], int] = {}
    return np.asarray(
        [numbers.setdefault((piece.block, piece.group), len(numbers)) for piece in pieces], dtype=np.int64
    )


def _of_groups(
    words: Words, groups: np.ndarray[tuple[int], np.dtype[np.int64]], made: Floats, asked: Sequence[str], vector: Floats
) -> tuple[Floats, Floats]:
    """Scores of the groups, given to each of their pieces."""
    if not len(groups) or not asked:
        empty = np.zeros(len(groups), dtype=np.float32)
        return empty, empty
    count = int(groups[-1]) + 1
    whole = Words(words.vocabulary, words.ids, groups[words.owner].astype(np.int32), count)
    lexical = _scaled(bm25(whole, asked))
    summed = np.zeros((count, made.shape[1]), dtype=np.float32)
    lengths = np.bincount(words.owner, minlength=words.texts).astype(np.float32)
    np.add.at(summed, groups, made * np.sqrt(lengths)[:, None])
    meaning = np.maximum(0.0, unit(summed) @ vector)
    return lexical[groups], meaning[groups]


def _named(pieces: Sequence[Piece], question: str) -> Floats:
    """1 for a piece with a name out of the question that is rare in the content; common names say little."""
    found = np.zeros(len(pieces), dtype=np.float32)
    names = names_in(question)
    if not names:
        return found
    folded = [piece.text.casefold() for piece in pieces]
    for name in names:
        hits = [number for number, text in enumerate(folded) if name in text]
        if hits:
            worth = 1.0 / (1.0 + np.log1p(len(hits) - 1))
            found[hits] = np.maximum(found[hits], worth)
    return found


def _oddness(pieces: Sequence[Piece]) -> Floats:
    """1 for a line whose template comes once, less the more often it comes; 0 where there are no templates."""
    counts = Counter(piece.template for piece in pieces if piece.template >= 0)
    if len(pieces) < 4:
        return np.zeros(len(pieces), dtype=np.float32)
    return np.asarray(
        [0.0 if p.template < 0 else 1.0 / (1.0 + np.log(counts[p.template])) for p in pieces], dtype=np.float32
    )
