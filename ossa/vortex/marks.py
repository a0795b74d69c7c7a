"""Marks that pieces carry beside their words: names, line numbers, rare templates, titles, and what the reader has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ossa.vortex.piece import Piece
from ossa.vortex.signals import names_in
from ossa.vortex.weights import Weights
from ossa.vortex.words import Floats

NUMBERED = re.compile(r"^\s*(\d{1,7})[:|]")
LINE_SAID = re.compile(r"(?<![\w.])\d{1,7}(?![\w.])")
ACTION_CHARS = 300
"""Characters at the end of a question, where it says what is being done."""

NEAR_LINES = 3.0
"""A line so many lines from the one that is named counts a third."""


def named(pieces: Sequence[Piece], question: str) -> Floats:
    """Returns 1 for a piece with a name out of the question that is rare in the content, less for common names."""
    scores = np.zeros(len(pieces), dtype=np.float32)
    names = names_in(question)
    if not names:
        return scores
    folded = [piece.text.casefold() for piece in pieces]
    for name in names:
        if hits := [number for number, text in enumerate(folded) if name in text]:
            scores[hits] = np.maximum(scores[hits], 1.0 / (1.0 + np.log1p(len(hits) - 1)))
    return scores


def near_lines(pieces: Sequence[Piece], question: str) -> Floats:
    """Returns 1 for a line whose number the question's end says, less for its neighbours, -1 for an empty line."""
    numbers = [NUMBERED.match(piece.text) for piece in pieces]
    scores = np.zeros(len(pieces), dtype=np.float32)
    at = np.asarray([i for i, number in enumerate(numbers) if number], dtype=np.int64)
    if not len(at):
        return scores
    lines = np.asarray([int(number.group(1)) for number in numbers if number], dtype=np.float32)
    for said in {int(number_said) for number_said in LINE_SAID.findall(question[-ACTION_CHARS:])}:
        scores[at] = np.maximum(scores[at], np.exp(-(((lines - said) / NEAR_LINES) ** 2)))
    scores[[i for i, number in enumerate(numbers) if number and not pieces[i].text[number.end() :].strip()]] = -1.0
    return scores


def oddness(pieces: Sequence[Piece]) -> Floats:
    """Returns 1 for a line whose template comes once, less the more often it comes; 0 where there are no templates."""
    counts = Counter(piece.template for piece in pieces if piece.template >= 0)
    if len(pieces) < 4:
        return np.zeros(len(pieces), dtype=np.float32)
    return np.asarray(
        [0.0 if p.template < 0 else 1.0 / (1.0 + np.log(counts[p.template])) for p in pieces], dtype=np.float32
    )


def news(pieces: Sequence[Piece], question: str) -> Floats:
    """Returns a factor: a field whose value the question says already counts little."""
    folded = question.casefold()
    values = [piece.text.partition(": ")[2].strip().casefold() for piece in pieces]
    return np.asarray([0.2 if value and value in folded else 1.0 for value in values], dtype=np.float32)


SAME = 1e-6
"""Factor for a piece that the reader has word for word."""

SAME_BUT_NUMBERS = 0.2
LEAST_CHARS = 12
"""Shorter lines (`}`, `ok`) say nothing by themselves."""

_NUMBERS = re.compile(r"\d+")


def newness(pieces: Sequence[Piece], seen: str) -> Floats:
    """Returns a factor for each piece's score, shape (pieces,): 1 for what the reader does not have yet."""
    factors = np.ones(len(pieces), dtype=np.float32)
    if not seen:
        return factors
    lines = {line.strip() for line in seen.splitlines() if len(line.strip()) >= LEAST_CHARS}
    shapes = {_NUMBERS.sub("#", line) for line in lines}
    for number, piece in enumerate(pieces):
        text = piece.text.strip()
        if len(text) < LEAST_CHARS:
            continue
        if text in lines:
            factors[number] = SAME
        elif _NUMBERS.sub("#", text) in shapes:
            factors[number] = SAME_BUT_NUMBERS
    return factors


GROUPS = 400
"""Titles are not looked for in more groups."""

BEST = 4
"""Pieces whose text may lead on to another group."""


def titles(
    pieces: Sequence[Piece],
    weights: Sequence[Weights],
    groups: NDArray[np.int64],
    scores: Floats,
    question: str,
) -> tuple[Floats, Floats, Floats]:
    """Scores titles that the question says, titles that the best pieces say, and the first piece under each.

    Shape (pieces,) each.
    """
    starts = np.flatnonzero(np.diff(groups, prepend=-1)) if len(groups) else groups
    none = np.zeros(len(pieces), dtype=np.float32)
    if not 2 <= len(starts) <= GROUPS:
        return none, none, none
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
    by_bridge = np.asarray([w.bridge for w in weights], dtype=np.float32) * bridged[groups]
    added = np.zeros(len(pieces), dtype=np.float32)
    related = np.maximum(said, bridged)
    for start, relation in zip(starts, related, strict=True):
        first = int(start) + (1 if int(start) + 1 < len(pieces) and pieces[int(start) + 1].head == start else 0)
        added[first] += weights[first].first * (0.3 + float(relation))
    return by_group, by_bridge, added


def _title(pieces: Sequence[Piece], start: int) -> str:
    """A group's title without what stands in brackets, folded; empty when it has none."""
    text = pieces[start].text
    if start + 1 < len(pieces) and pieces[start + 1].head == start:
        return re.sub(r"\s*\([^)]*\)\s*$", "", text).casefold().strip()
    given = re.match(r"Document \[\d+\] \(Title: (.*?)\) ", text)
    return given.group(1).casefold() if given else ""


def _says(text: str, name: str) -> bool:
    """Whether the text holds the name as whole words."""
    at = text.find(name) if len(name) >= 3 else -1
    while at >= 0:
        if not (_in_word(text, at - 1) or _in_word(text, at + len(name))):
            return True
        at = text.find(name, at + 1)
    return False


def _in_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and (text[at].isalnum() or text[at] == "_")
