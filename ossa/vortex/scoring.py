"""Scores each piece against the question at hand, from 0 upwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.contracts.compression import Kind
from ossa.vortex import marks
from ossa.vortex.marks import titles
from ossa.vortex.piece import Block, Piece
from ossa.vortex.ranking import dialogue, prose
from ossa.vortex.ranking.network import Rank, ranked
from ossa.vortex.ranking.values import chances
from ossa.vortex.vectors import TextVectors, rarity_weights, unit
from ossa.vortex.weights import WEIGHTS, Weights
from ossa.vortex.words import Floats, Words, bm25, question_words, read_words

VALUE_CHANCE = 4.0
"""Weight of a value's chance of being used, beside `VALUE_OWN` of the score that any other piece would have."""

VALUE_OWN = 0.3

NEAR_WORTH = 2.5
"""Worth of a line whose number the question says."""

TURN_HAND = 0.4
"""Weight of the score by hand beside the network's, for turns."""

PROSE_SHARE = 0.9
"""Prose that is so much of a content is ranked by the network, which has seen nothing else."""


@dataclass(frozen=True)
class Scored:
    """The scores of the pieces, and what they rest on.

    Attributes:
        scores: shape (pieces,).
        vectors: unit vectors, shape (pieces, dimensions).
        named: 1 where alone something stands that the question names, less where it stands often; shape (pieces,).
        chances: of each piece to be the one that is needed, adding up to 1; None where no trained model tells.
    """

    scores: Floats
    vectors: Floats
    named: Floats
    chances: Floats | None = None


class _Scorer:
    def __init__(self, blocks: Sequence[Block], question: str, vectors: TextVectors, rank: Rank) -> None:
        self._blocks = blocks
        self._question = question
        self._word_vectors = vectors
        self._rank = rank
        self.pieces = [piece for block in blocks for piece in block.pieces]
        self.words = read_words([piece.text for piece in self.pieces])
        self.vectors = vectors.of_texts(self.words, rarity_weights(self.words))
        self._asked = question_words(question)
        self._groups = _groups(self.pieces)
        self.parts = self._read_parts()
        self.chances: Floats | None = None

    def _read_parts(self) -> dict[str, Floats]:
        """Returns the parts of the scores of all pieces, each of shape (pieces,)."""
        count = len(self.pieces)
        lexical = _scaled(bm25(self.words, self._asked))
        meaning = group_lexical = group_meaning = np.zeros(count, dtype=np.float32)
        if self._asked:
            vector = self._word_vectors.of_question(self._question)
            meaning = np.maximum(0.0, self.vectors @ vector)
            group_lexical, group_meaning = _of_groups(self.words, self._groups, self.vectors, self._asked, vector)
        prior = np.asarray([piece.prior for piece in self.pieces], dtype=np.float32)
        named, odd = marks.named(self.pieces, self._question), marks.oddness(self.pieces)
        parts = {"lexical": lexical, "meaning": meaning, "group lexical": group_lexical}
        return parts | {"group meaning": group_meaning, "named": named, "odd": odd, "prior": prior}

    def scores(self, weights: Mapping[Kind, Weights]) -> Floats:
        total = np.zeros(len(self.pieces), dtype=np.float32)
        at = 0
        for block in self._blocks:
            span = slice(at, at + len(block.pieces))
            at = span.stop
            total[span] = self._of_block(block, span, weights[block.kind]) * block.weight
        if any(weights[block.kind].title or weights[block.kind].bridge for block in self._blocks):
            per_piece = [weights[block.kind] for block in self._blocks for _ in block.pieces]
            said, bridged, first = titles(self.pieces, per_piece, self._groups, total, self._question)
            total += said + bridged + first
            if self._asked and self.pieces and self._mostly_prose():
                return self._of_prose(total, said, bridged)
        return total

    def _of_block(self, block: Block, span: slice, w: Weights) -> Floats:
        parts = {name: part[span] for name, part in self.parts.items()}
        lexical = parts["lexical"]
        if block.kind == "json" and self._question:
            lexical = lexical * marks.news(block.pieces, self._question)
        own = w.lexical * lexical + w.meaning * parts["meaning"]
        own += w.group_lexical * parts["group lexical"] + w.group_meaning * parts["group meaning"]
        if w.spread:
            own = smooth(own, w.spread)
            if self._asked and block.pieces and len(self._blocks) == 1:
                return self._of_turns(own)
        own += w.named * parts["named"] + w.odd * parts["odd"] + w.prior * parts["prior"]
        if block.kind in ("code", "shell"):
            own += NEAR_WORTH * marks.near_lines(block.pieces, self._question)
        if any(piece.path for piece in block.pieces):
            own = self._of_values(block.pieces, own)
        return own

    def _of_turns(self, by_hand: Floats) -> Floats:
        parts = self.parts | {"smoothed": by_hand}
        features = dialogue.features(
            self.pieces, self.words, self.vectors, self._question, self._asked, self._word_vectors, parts
        )
        chance = self._rank("dialogue", features)
        self.chances = _normal(chance)
        scores: Floats = np.sqrt(chance) + TURN_HAND * _scaled(by_hand)
        return scores

    def _of_values(self, pieces: Sequence[Piece], by_hand: Floats) -> Floats:
        """Values of a short document are ranked by how likely they are to be used, and by what else is known."""
        used = chances(pieces, self._question)
        if len(self._blocks) == 1:
            self.chances = _normal(used)
        asked = self._question.casefold()
        new = np.asarray([0.2 if p.brief and p.brief.casefold() in asked else 1.0 for p in pieces], dtype=np.float32)
        scores = VALUE_CHANCE * used + VALUE_OWN * by_hand * new
        return np.where([bool(piece.path) for piece in pieces], scores, by_hand).astype(np.float32)

    def _of_prose(self, by_hand: Floats, titled: Floats, bridged: Floats) -> Floats:
        parts = self.parts | {"hand": by_hand, "titled": titled, "bridged": bridged}
        features = prose.features(
            self.pieces, self.words, self.vectors, self._groups, self._question, self._asked, parts
        )
        chance = self._rank("prose", features)
        self.chances = _normal(chance)
        return chance

    def _mostly_prose(self) -> bool:
        chars = sum(block.end - block.start for block in self._blocks if block.kind == "prose")
        return chars >= PROSE_SHARE * sum(block.end - block.start for block in self._blocks)


def score(
    blocks: Sequence[Block],
    question: str,
    vectors: TextVectors,
    weights: Mapping[Kind, Weights] = WEIGHTS,
    rank: Rank = ranked,
) -> Scored:
    """Scores of the blocks' pieces.

    Args:
        rank: what the trained networks are asked through; their training wants the features alone.
    """
    scorer = _Scorer(blocks, question, vectors, rank)
    scores = scorer.scores(weights)
    return Scored(scores, scorer.vectors, scorer.parts["named"], scorer.chances)


def smooth(values: Floats, spread: float) -> Floats:
    """Averages each value with its neighbours under a bell of that standard deviation."""
    if len(values) < 3:
        return values
    reach = min(len(values) - 1, int(3 * spread))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / spread) ** 2).astype(np.float32)
    span = slice(reach, reach + len(values))
    summed, counted = np.convolve(values, bell)[span], np.convolve(np.ones_like(values), bell)[span]
    averaged: Floats = (summed / counted).astype(np.float32)
    return averaged


def _scaled(values: Floats) -> Floats:
    """Scales values to at most 1."""
    top = float(values.max()) if len(values) else 0.0
    return values / top if top > 0 else values


def _normal(chance: Floats) -> Floats:
    """Scales chances so that they add up to 1."""
    scaled: Floats = chance / max(float(chance.sum()), 1e-9)
    return scaled


def _groups(pieces: Sequence[Piece]) -> NDArray[np.int64]:
    numbers: dict[tuple[int, int], int] = {}
    return np.asarray(
        [numbers.setdefault((piece.block, piece.group), len(numbers)) for piece in pieces], dtype=np.int64
    )


def _of_groups(
    words: Words, groups: NDArray[np.int64], made: Floats, asked: Sequence[str], vector: Floats
) -> tuple[Floats, Floats]:
    """Scores the groups, and gives each piece the score of its group."""
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
