"""Which pieces stay, under a budget of tokens."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence

from ossa.vortex.piece import Piece
from ossa.vortex.words import Floats

REPEAT = 0.35
"""What a piece is worth for each one of its template that stays already."""


def choose(pieces: Sequence[Piece], worth: Floats, costs: Sequence[int], budget: int) -> set[int]:
    """Numbers of the pieces that stay: greedily by worth for their tokens, with the heads they need.

    `costs` are tokens. What is taken never costs more than `budget`.
    """
    waiting = [(-float(value), number) for number, value in enumerate(worth)]
    heapq.heapify(waiting)
    kept: set[int] = set()
    templates: Counter[int] = Counter()
    texts: set[str] = set()
    left = budget
    while waiting and left > 0:
        _, number = heapq.heappop(waiting)
        piece = pieces[number]
        if number in kept or piece.text in texts:
            continue
        key = piece.template
        if piece.template >= 0 and templates[key]:
            reduced = -float(worth[number]) * REPEAT ** templates[key]
            if waiting and reduced > waiting[0][0]:
                heapq.heappush(waiting, (reduced, number))
                continue
        needed = _with_heads(pieces, number, kept)
        cost = sum(costs[one] for one in needed)
        if cost > left:
            continue
        kept.update(needed)
        left -= cost
        texts.add(piece.text)
        if piece.template >= 0:
            templates[key] += 1
    return kept


def _with_heads(pieces: Sequence[Piece], number: int, kept: set[int]) -> list[int]:
    needed: list[int] = []
    open_ = [number]
    while open_:
        number = open_.pop()
        if number >= 0 and number not in kept and number not in needed:
            needed.append(number)
            open_ += [pieces[number].head, pieces[number].also]
    return needed
