"""The pieces of one content: what they are worth and cost, and which of them stay."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ossa.contracts.compression import Kind, LeftOut
from ossa.vortex.marks import SAME, newness
from ossa.vortex.piece import Block, Piece, render
from ossa.vortex.scoring import Scored, score
from ossa.vortex.signals import brief_of, directories
from ossa.vortex.splitting import split
from ossa.vortex.tokens import TokenCounter
from ossa.vortex.vectors import EncodedTexts, Encoder, fidelity, word_vectors
from ossa.vortex.weights import FLOORS, MIXED, WEIGHTS, Floor
from ossa.vortex.words import Floats

ONLY = 1.0
"""The score of a name that stands in one piece only (`marks.named`)."""

PROTECTED = 1.0
"""A piece with that prior (a fault) is protected."""

WIDEST = 0.7
"""The floor widens a budget to this share of the original at most."""

MOST_MORE = 4000
"""The floor widens a budget by so many tokens at most: it asks for little of a long content."""

STEPS = 8
WIDER = 1.15
"""The floor widens a budget in at most so many steps, each by this much, and the last one to its limit."""

TERSE_TOKENS = 3000
"""A content of so few tokens is cut finely: JSON to its leaves, lines to the names in them."""

BRIEF_KINDS: frozenset[Kind] = frozenset({"shell", "code", "log", "table", "stack", "json"})

VALUE_LENGTH = 1.0
"""Values are taken by their worth for each token."""

VALUE_SHARE = 0.9
"""The value's share of the worth of a key with its value."""

LEAST_COST = 2
"""A value of one token is not worth twice one of two."""

NAMES_SHARE = 0.8
"""The share of a line's worth that the names in it have."""

ONE_KIND = 0.9
"""A content with this share of its characters in one kind is of that kind; others are several outputs in one."""

LEAST_TOKENS = 400
"""A content of little more is hardly shortened when the floor is on: it would save little and lose much."""


class Selection:
    """The pieces of one content and their worth.

    Args:
        terse: the content is small, and is cut finely.
        encoder: replaces the word vectors.
        seen: what the reader has already.
    """

    def __init__(
        self,
        content: str,
        question: str,
        kind: Kind | None,
        counter: TokenCounter,
        *,
        terse: bool,
        encoder: Encoder | None = None,
        seen: str = "",
    ) -> None:
        self._content = content
        self._counter = counter
        self.blocks: list[Block] = split(content, kind, terse=terse)
        self.pieces: list[Piece] = [piece for block in self.blocks for piece in block.pieces]
        vectors = word_vectors() if encoder is None else EncodedTexts(encoder, [piece.text for piece in self.pieces])
        self.scored: Scored = score(self.blocks, question, vectors)
        new = newness(self.pieces, seen)
        self.scored.scores[:] *= new
        self._seen = set(np.flatnonzero(new <= SAME).tolist())
        if terse:
            self._put_briefly(question)
        # One more for what joins it to the next.
        self.costs: list[int] = [counter.count(piece.text) + 1 for piece in self.pieces]
        self._offer = self._offered()

    def _put_briefly(self, question: str) -> None:
        """Gives lines a brief form: the names in them."""
        directories_named = directories(question)
        for block in self.blocks:
            if block.kind in BRIEF_KINDS:
                for piece in block.pieces:
                    if not piece.path:
                        piece.brief = brief_of(
                            piece.text, "log" if block.kind == "json" else block.kind, directories_named
                        )

    def _offered(self) -> Offer:
        length = np.asarray(
            [
                VALUE_LENGTH if piece.path else WEIGHTS[block.kind].length
                for block in self.blocks
                for piece in block.pieces
            ],
            dtype=np.float32,
        )
        scores = self.scored.scores
        costs = np.asarray(self.costs, dtype=np.float32)
        worth: Floats = (scores / np.maximum(costs, 4.0) ** length).astype(np.float32)
        brief_worth: dict[int, float] = {}
        brief_costs: dict[int, int] = {}
        for number, piece in enumerate(self.pieces):
            if piece.brief:
                share = VALUE_SHARE if piece.path else NAMES_SHARE
                cost = self._counter.count(f" {piece.brief}") + (0 if piece.path else 1)
                brief_costs[number] = cost
                brief_worth[number] = float(share * scores[number] / max(cost, LEAST_COST) ** length[number])
                more = max(1.0, float(costs[number]) - cost)
                worth[number] = max(float((1 - share) * scores[number] / more ** length[number]), 0.0)
        return Offer(worth, self.costs, brief_worth, brief_costs)

    def everything(self) -> dict[int, bool]:
        return dict.fromkeys(range(len(self.pieces)), True)

    def choose(self, room: int, first: Collection[int] = ()) -> Kept:
        """Chooses pieces. Those of `first` come before all others where they leave three quarters of the room."""
        if not first or 4 * self._cost(first) > room:
            return choose(self.pieces, self._offer, room)
        worth = self._offer.worth.copy()
        worth[list(first)] += float(worth.max()) + 1.0
        return choose(self.pieces, replace(self._offer, worth=worth), room)

    def widen(self, room: int, kept: Kept, before: int) -> Kept | None:
        """Chooses more pieces where the floor asks for them; None where it does not."""
        floor = FLOORS[self.kind()] if self._is_of_one_kind() else MIXED
        limit = min(int(before * WIDEST), max(2 * LEAST_TOKENS, min(room + MOST_MORE, int(room * floor.most_wider))))
        wider: Kept | None = None
        tiny = min(LEAST_TOKENS, int(before * floor.tiny_share))
        small = max(tiny, min(floor.least_tokens, int(before * floor.least_share)))
        if room < small:
            room = small
            kept = wider = self.choose(room, self._named())
        protected = self._protected(room)
        for step in range(STEPS):
            if not protected - set(kept) and self._enough(kept, floor):
                return wider
            if room >= limit:
                return wider
            room = min(limit, int(room * WIDER) + 8) if step + 1 < STEPS else limit
            kept = wider = self.choose(room, self._named())
        return wider

    def _enough(self, kept: Kept, floor: Floor) -> bool:
        chances = self.scored.chances
        if chances is None:
            return fidelity(self.scored.vectors, self._seen.union(kept)) >= floor.fidelity
        staying = {self.pieces[number].brief for number in kept} - {""}
        kept_or_seen = [
            number
            for number, piece in enumerate(self.pieces)
            if number in kept or number in self._seen or piece.brief in staying
        ]
        return float(chances[kept_or_seen].sum()) >= floor.chance

    def _is_of_one_kind(self) -> bool:
        return max(self.kinds().values(), default=1.0) >= ONE_KIND

    def kind(self) -> Kind:
        """Returns the kind of most of the content."""
        chars: Counter[Kind] = Counter()
        for block in self.blocks:
            chars[block.kind] += block.end - block.start
        return chars.most_common(1)[0][0] if chars else "prose"

    def fit(self, kept: Kept, handle: str, budget: int | None, *, tight: bool) -> tuple[str, Kept]:
        """Renders the kept pieces. Drops the worst until they fit, as the estimate may be a token or two too low."""
        text = render(self.pieces, kept, handle, tight=tight)
        while budget is not None and kept and self._counter.count(text) > budget:
            worst = min(kept, key=lambda number: (self._worth(number, kept[number]), number))
            kept = {
                number: whole for number, whole in kept.items() if number != worst and not self._needs(number, worst)
            }
            text = render(self.pieces, kept, handle, tight=tight)
        return text, kept

    def _worth(self, number: int, whole: bool) -> float:
        return float(self._offer.worth[number]) if whole else self._offer.brief_worth[number]

    def left_out(self, kept: Kept) -> tuple[LeftOut, ...]:
        staying = {self.pieces[number].text for number in kept}
        pieces: Counter[tuple[Kind, str]] = Counter()
        tokens: Counter[tuple[Kind, str]] = Counter()
        for number, piece in enumerate(self.pieces):
            if number not in kept:
                repeated = piece.text in staying or number in self._seen
                key = (self.blocks[piece.block].kind, "repeated" if repeated else "budget")
                pieces[key] += 1
                tokens[key] += self.costs[number]
        return tuple(
            LeftOut(kind=kind, why=why, pieces=pieces[kind, why], tokens=tokens[kind, why]) for kind, why in pieces
        )

    def kinds(self) -> dict[str, float]:
        shares: Counter[str] = Counter()
        for block in self.blocks:
            shares[block.kind] += block.end - block.start
        whole = max(1, len(self._content))
        return {kind: round(share / whole, 4) for kind, share in shares.most_common()}

    def _protected(self, room: int) -> set[int]:
        """Returns pieces that alone hold a name out of the question, and the first fault of each template.

        Neither where they need much more than the room: where everything is a fault, none stands out.
        """
        candidates = (self._named() - self._seen, self._faults() - self._seen)
        return {number for numbers in candidates if self._cost(numbers) <= 2 * room for number in numbers}

    def _named(self) -> set[int]:
        """Returns pieces that alone hold a name out of the question, but no values: the question says them."""
        numbers = np.flatnonzero(self.scored.named >= ONLY).tolist()
        return {number for number in numbers if not self.pieces[number].path}

    def _cost(self, numbers: Collection[int]) -> int:
        return sum(self.costs[number] for number in numbers)

    def _faults(self) -> set[int]:
        faults: set[int] = set()
        seen: set[int] = set()
        for number, piece in enumerate(self.pieces):
            if piece.prior < PROTECTED or (piece.template >= 0 and piece.template in seen):
                continue
            seen.add(piece.template)
            faults.add(number)
        return faults

    def _needs(self, number: int, other: int) -> bool:
        while number >= 0:
            piece = self.pieces[number]
            if other in (piece.head, piece.also):
                return True
            number = piece.head
        return False


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
