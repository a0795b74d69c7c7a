"""A dialogue: turns. What was said before a turn and after it belongs to it more than to anything else."""

from __future__ import annotations

from ossa.vortex.kinds.prose import _cut
from ossa.vortex.piece import Piece

WINDOW = 6
"""Turns that are looked at as one."""


def split(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    for number, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        for part, _ in _cut(line, ""):
            pieces.append(Piece(part, group=number // WINDOW, glue="\n"))
    return pieces
