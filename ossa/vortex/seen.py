"""What a reader has before it already is worth little a second time."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ossa.vortex.piece import Piece
from ossa.vortex.words import Floats

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
