"""What a piece shows by itself: a name out of the question, a line number, a rare template, a value told already."""

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
"""Of the end of a question: there stands what is being done."""

NEAR_LINES = 3.0
"""At so many lines from the one that is named, a line counts a third."""


def named(pieces: Sequence[Piece], question: str) -> Floats:
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


def near_lines(pieces: Sequence[Piece], question: str) -> Floats:
    """1 for a numbered line whose number the end of the question says, less for its neighbours; -1 for an empty one."""
    numbers = [NUMBERED.match(piece.text) for piece in pieces]
    found = np.zeros(len(pieces), dtype=np.float32)
    at = np.asarray([i for i, number in enumerate(numbers) if number], dtype=np.int64)
    if not len(at):
        return found
    lines = np.asarray([int(number.group(1)) for number in numbers if number], dtype=np.float32)
    for said in {int(one) for one in LINE_SAID.findall(question[-ACTION_CHARS:])}:
        found[at] = np.maximum(found[at], np.exp(-(((lines - said) / NEAR_LINES) ** 2)))
    found[[i for i, number in enumerate(numbers) if number and not pieces[i].text[number.end() :].strip()]] = -1.0
    return found


def oddness(pieces: Sequence[Piece]) -> Floats:
    """1 for a line whose template comes once, less the more often it comes; 0 where there are no templates."""
    counts = Counter(piece.template for piece in pieces if piece.template >= 0)
    if len(pieces) < 4:
        return np.zeros(len(pieces), dtype=np.float32)
    return np.asarray(
        [0.0 if p.template < 0 else 1.0 / (1.0 + np.log(counts[p.template])) for p in pieces], dtype=np.float32
    )


def news(pieces: Sequence[Piece], question: str) -> Floats:
    """A field whose value the question says already tells it nothing new."""
    folded = question.casefold()
    values = [piece.text.partition(": ")[2].strip().casefold() for piece in pieces]
    return np.asarray([0.2 if value and value in folded else 1.0 for value in values], dtype=np.float32)


SAME = 1e-6
"""Of its worth, for a piece that stands there word for word."""

SAME_BUT_NUMBERS = 0.2
LEAST_CHARS = 12
"""Shorter lines (`}`, `ok`) say nothing by themselves."""

_NUMBERS = re.compile(r"\d+")


def newness(pieces: Sequence[Piece], seen: str) -> Floats:
    """A factor for each piece's score, shape (pieces,): 1 for what is new."""
    found = np.ones(len(pieces), dtype=np.float32)
    if not seen:
        return found
    lines = {line.strip() for line in seen.splitlines() if len(line.strip()) >= LEAST_CHARS}
    shapes = {_NUMBERS.sub("#", line) for line in lines}
    for number, piece in enumerate(pieces):
        text = piece.text.strip()
        if len(text) < LEAST_CHARS:
            continue
        if text in lines:
            found[number] = SAME
        elif _NUMBERS.sub("#", text) in shapes:
            found[number] = SAME_BUT_NUMBERS
    return found


GROUPS = 400
"""Of more groups the titles are not looked for."""

BEST = 4
"""Pieces whose text may lead on to another group."""


def titles(
    pieces: Sequence[Piece],
    weights: Sequence[Weights],
    groups: NDArray[np.int64],
    scores: Floats,
    question: str,
) -> tuple[Floats, Floats, Floats]:
    """What is added for titles that the question says, that the best pieces say, and for what stands first under them.

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
    """As whole words."""
    at = text.find(name) if len(name) >= 3 else -1
    while at >= 0:
        if not (_in_word(text, at - 1) or _in_word(text, at + len(name))):
            return True
        at = text.find(name, at + 1)
    return False


def _in_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and (text[at].isalnum() or text[at] == "_")
