"""Titles: which the question says, and which its best pieces lead on to."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ossa.vortex.piece import Piece
from ossa.vortex.weights import Weights
from ossa.vortex.words import Floats

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
