"""`compress`: split, score, choose, check the floor, render. Needs no server and no network."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ossa.contracts.compression import KINDS, Compressed, Kind, LeftOut
from ossa.contracts.errors import InvalidRequest
from ossa.vortex.choosing import choose
from ossa.vortex.fidelity import FLOORS, fidelity
from ossa.vortex.originals import Originals, handle_in, handle_of
from ossa.vortex.piece import Block, Piece
from ossa.vortex.render import note_tokens_text, render
from ossa.vortex.scoring import WEIGHTS, Scored, score
from ossa.vortex.splitting import split
from ossa.vortex.tokens import TokenCounter, counter_for
from ossa.vortex.vectors import word_vectors
from ossa.vortex.words import Floats

MAX_CHARS = 20_000_000
"""Longer contents are refused."""

SMALL_TOKENS = 48
"""A content of so few tokens is left as it is."""

PROTECTED = 1.0
"""A piece with that prior (a fault) is protected."""

WIDEST = 0.7
"""The floor widens a budget to this share of the original at most."""

MOST_WIDER = 1.5
"""And to this many times what was asked for, where that is more than a small content."""

STEPS = 5

LEAST_TOKENS = 400
"""A content that is not much longer is hardly shortened when the floor is on: it would save little and lose much."""

LEAST_SHARE = 0.6
"""Of a content's own tokens, for the above."""


def compress(
    content: str,
    question: str = "",
    *,
    reduction: float | None = None,
    budget_tokens: int | None = None,
    kind: Kind | None = None,
    floor: bool = True,
    model: str = "",
    originals: Originals | None = None,
    tenant: str = "default",
) -> Compressed:
    """Leave out of a content what the question needs least.

    What is compressed already is left as it is, unless it is over a budget.

    Args:
        question: what the content is wanted for; empty: nothing in particular.
        reduction: share of the tokens to leave out, 0 to below 1 (0.85 when neither this nor a budget is given).
        budget_tokens: the most tokens the result may have, its closing note (a dozen) apart where not even that fits.
            The floor does not widen it. Give this or `reduction`.
        kind: of the whole content, when it is known; else it is found out, stretch by stretch.
        floor: give more room than was asked for where the kind's fidelity floor or a protected piece needs it.
        model: whose vocabulary tokens are counted in.
        originals: where the original goes, so that its handle can be followed.

    Raises:
        InvalidRequest: names the argument. Any text is taken; nothing that is in it raises.
    """
    _check(content, reduction, budget_tokens, kind)
    counter = counter_for(model)
    before = counter.count(content)
    budget = (
        budget_tokens if budget_tokens is not None else int(before * (1 - (0.85 if reduction is None else reduction)))
    )
    small = before <= SMALL_TOKENS and floor and budget_tokens is None
    again = budget_tokens is None and handle_in(content) is not None
    if before <= budget or small or again:
        return Compressed(text=content, tokens_before=before, tokens_after=before, fidelity=1.0)
    handle = handle_of(content)
    work = _Work(content, question, kind, counter)
    room = max(0, budget - counter.count(note_tokens_text(len(work.pieces), handle)))
    kept = work.choose(room)
    widened = False
    if floor and budget_tokens is None:
        wider = work.widen(room, kept, before)
        widened = wider is not None
        kept = wider if wider is not None else kept
    text, kept = work.fit(kept, handle, None if widened else budget)
    after = counter.count(text)
    if after >= before:
        return Compressed(text=content, tokens_before=before, tokens_after=before, fidelity=1.0, kinds=work.kinds())
    if originals is not None:
        originals.put(content, tenant=tenant)
    return Compressed(
        text=text,
        tokens_before=before,
        tokens_after=after,
        fidelity=round(fidelity(work.scored.vectors, kept), 4),
        handles=(handle,),
        dropped=work.left_out(kept),
        kinds=work.kinds(),
        widened=widened,
    )


class _Work:
    """One content under way."""

    def __init__(self, content: str, question: str, kind: Kind | None, counter: TokenCounter) -> None:
        self._content = content
        self._counter = counter
        self.blocks: list[Block] = split(content, kind)
        self.pieces: list[Piece] = [piece for block in self.blocks for piece in block.pieces]
        self.scored: Scored = score(self.blocks, question, word_vectors())
        # One more for what joins it to the next.
        self.costs: list[int] = [counter.count(piece.text) + 1 for piece in self.pieces]
        length = np.asarray(
            [WEIGHTS[block.kind].length for block in self.blocks for _ in block.pieces], dtype=np.float32
        )
        tokens = np.maximum(np.asarray(self.costs, dtype=np.float32), 4.0)
        self._worth: Floats = (self.scored.scores / tokens**length).astype(np.float32)

    def choose(self, room: int) -> set[int]:
        return choose(self.pieces, self._worth, self.costs, room)

    def widen(self, room: int, kept: set[int], before: int) -> set[int] | None:
        """More pieces, where the floor asks for them; None when it does not."""
        least = self._floor()
        protected = self._protected()
        limit = min(int(before * WIDEST), max(2 * LEAST_TOKENS, int(room * MOST_WIDER)))
        found: set[int] | None = None
        small = min(LEAST_TOKENS, int(before * LEAST_SHARE))
        if room < small:
            room = small
            kept = found = self.choose(room)
        if sum(self.costs[number] for number in protected) > 2 * room:
            protected = set()  # where everything is a fault, none stands out
        for step in range(STEPS):
            wanting = protected - kept
            if not wanting and fidelity(self.scored.vectors, kept) >= least:
                return found
            if room >= limit:
                return found
            room = min(limit, int(room * 1.4) + 24) if step + 1 < STEPS else limit
            kept = found = self.choose(room)
        return found

    def fit(self, kept: set[int], handle: str, budget: int | None) -> tuple[str, set[int]]:
        """As text; within the budget, should the estimate have been a token or two too low."""
        text = render(self.pieces, kept, handle)
        while budget is not None and kept and self._counter.count(text) > budget:
            worst = min(kept, key=lambda number: (float(self._worth[number]), number))
            kept = {number for number in kept if number != worst and not self._needs(number, worst)}
            text = render(self.pieces, kept, handle)
        return text, kept

    def left_out(self, kept: set[int]) -> tuple[LeftOut, ...]:
        staying = {self.pieces[number].text for number in kept}
        pieces: Counter[tuple[Kind, str]] = Counter()
        tokens: Counter[tuple[Kind, str]] = Counter()
        for number, piece in enumerate(self.pieces):
            if number not in kept:
                key = (self.blocks[piece.block].kind, "repeated" if piece.text in staying else "budget")
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

    def _floor(self) -> float:
        """The kinds' floors, by their shares."""
        whole = max(1, len(self._content))
        return sum(FLOORS[block.kind] * (block.end - block.start) / whole for block in self.blocks)

    def _protected(self) -> set[int]:
        """Faults, once a template."""
        found: set[int] = set()
        seen: set[int] = set()
        for number, piece in enumerate(self.pieces):
            if piece.prior < PROTECTED or (piece.template >= 0 and piece.template in seen):
                continue
            seen.add(piece.template)
            found.add(number)
        return found

    def _needs(self, number: int, other: int) -> bool:
        while number >= 0:
            piece = self.pieces[number]
            if other in (piece.head, piece.also):
                return True
            number = piece.head
        return False


def _check(content: object, reduction: float | None, budget_tokens: int | None, kind: str | None) -> None:
    if not isinstance(content, str):
        raise InvalidRequest(f"content must be text, not {type(content).__name__}", param="content")
    if len(content) > MAX_CHARS:
        raise InvalidRequest(f"content has {len(content):,} characters; at most {MAX_CHARS:,}", param="content")
    if reduction is not None and budget_tokens is not None:
        raise InvalidRequest("give reduction or budget_tokens, not both", param="budget_tokens")
    if reduction is not None and not 0 <= reduction < 1:
        raise InvalidRequest(f"reduction must be at least 0 and below 1, not {reduction}", param="reduction")
    if budget_tokens is not None and budget_tokens < 1:
        raise InvalidRequest(f"budget_tokens must be at least 1, not {budget_tokens}", param="budget_tokens")
    if kind is not None and kind not in KINDS:
        raise InvalidRequest(f"kind must be one of {', '.join(KINDS)}, not {kind!r}", param="kind")
