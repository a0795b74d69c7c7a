"""Chooses the pieces that stay, whole or in brief, under a budget of tokens."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ossa.vortex.piece import Piece
from ossa.vortex.words import Floats

REPEAT = 0.35
"""Factor on a piece's worth for each piece of its template that stays already."""

TOLD = 0.1
"""Factor on the worth of a value that stands in another piece that stays."""


@dataclass(frozen=True)
class Offer:
    """Worth and cost in tokens of pieces: whole, and in brief where they have a brief form.

    `brief_worth` and `brief_costs` are by the number of the piece. The worth of a whole piece is that of what it adds.
    """

    worth: Floats
    costs: Sequence[int]
    brief_worth: Mapping[int, float] = field(default_factory=dict)
    brief_costs: Mapping[int, int] = field(default_factory=dict)


Kept = dict[int, bool]
"""Numbers of the pieces that stay; whether whole."""


def choose(pieces: Sequence[Piece], offer: Offer, budget: int) -> Kept:
    """Greedily by worth for their tokens, with the heads they need. What is taken never costs more than `budget`."""
    waiting = [(-float(value), number, True) for number, value in enumerate(offer.worth)]
    waiting += [(-value, number, False) for number, value in offer.brief_worth.items()]
    heapq.heapify(waiting)
    kept: Kept = {}
    templates: Counter[int] = Counter()
    texts: set[str] = set()
    left = budget
    while waiting and left > 0:
        value, number, whole = heapq.heappop(waiting)
        piece = pieces[number]
        said = piece.text if not piece.brief else piece.brief
        if kept.get(number, False) or (number in kept and not whole):
            continue
        if said in texts and number not in kept:
            if not piece.brief or not whole:
                continue
            reduced = -float(offer.worth[number]) * TOLD
            if value < reduced:
                heapq.heappush(waiting, (reduced, number, whole))
                continue
        if piece.template >= 0 and templates[piece.template] and number not in kept:
            full = float(offer.worth[number]) if whole else offer.brief_worth[number]
            reduced = -full * REPEAT ** templates[piece.template]
            if waiting and reduced > waiting[0][0]:
                heapq.heappush(waiting, (reduced, number, whole))
                continue
        needed = _with_heads(pieces, number, kept) if whole else [number]
        cost = sum(_cost(other, offer, kept, whole) for other in needed)
        if cost > left:
            continue
        left -= cost
        if piece.template >= 0 and number not in kept:
            templates[piece.template] += 1
        kept.update(dict.fromkeys(needed, whole))
        texts.add(said)
    return kept


def _cost(number: int, offer: Offer, kept: Kept, whole: bool) -> int:
    if not whole:
        return offer.brief_costs[number]
    return offer.costs[number] - (offer.brief_costs[number] if number in kept else 0)


def _with_heads(pieces: Sequence[Piece], number: int, kept: Kept) -> list[int]:
    needed: list[int] = []
    open_ = [number]
    while open_:
        number = open_.pop()
        if number >= 0 and not kept.get(number, False) and number not in needed:
            needed.append(number)
            open_ += [pieces[number].head, pieces[number].also]
    return needed
