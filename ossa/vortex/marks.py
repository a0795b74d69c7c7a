"""What a piece shows by itself: a name out of the question, a line number, a rare template, a value told already."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ossa.vortex.piece import Piece
from ossa.vortex.signals import names_in
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
