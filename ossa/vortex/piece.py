"""The unit that is kept or left out, and the kept ones as text, with marks where something was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ossa.contracts.compression import Kind


@dataclass(slots=True)
class Piece:
    """A line, a sentence, a row or a turn.

    Attributes:
        text: as it will stand in the result; for JSON already in a shorter notation.
        block: the block of one kind that it belongs to, by number.
        group: paragraph, document or object within the block; pieces of one group speak of one thing.
        head: number of a piece that has to stand before it to be understood (a table's header, an object's key).
        also: number of another piece that it needs; -1: none.
        prior: how much it is worth before anything is asked, from 0 to 1.
        glue: what stands between it and the next piece in the original.
        template: pieces of one template say the same with other numbers; -1: none.
        brief: the names and values in `text`, which may stay in its place; empty: it stays whole or not at all.
        path: where a value stands in a document, `flights[].date`; empty for all others.
    """

    text: str
    block: int = 0
    group: int = 0
    head: int = -1
    also: int = -1
    prior: float = 0.0
    glue: str = "\n"
    template: int = -1
    brief: str = ""
    path: str = ""


@dataclass(slots=True)
class Block:
    """A stretch of one kind. `content[start:end]` is its original; `weight` scales the scores of its pieces."""

    kind: Kind
    start: int
    end: int
    weight: float = 1.0
    pieces: list[Piece] = field(default_factory=list)


GAP = "…"


FEW_TOKENS = 250
"""Under a budget of fewer tokens the closing note is brief."""


def render(pieces: Sequence[Piece], kept: Mapping[int, bool], handle: str, *, tight: bool = False) -> str:
    """Joins the kept pieces in their order, and a last line that says how much is missing and how to get it.

    The line stands there even where nothing is missing: JSON is written in fewer characters than the original.

    Args:
        kept: numbers of pieces, and whether they stay whole or in brief.
        tight: every token counts.
    """
    note = note_of(len(pieces) - sum(kept.values()), handle, tight=tight)
    body = _joined(pieces, sorted(kept), kept)
    return f"{body}\n{note}" if body else note


def note_of(pieces: int, handle: str, *, tight: bool) -> str:
    return f"[+{pieces} {handle}]" if tight else f"[{pieces} left out: {handle}]"


def _joined(pieces: Sequence[Piece], order: Sequence[int], kept: Mapping[int, bool]) -> str:
    parts: list[str] = []
    for here, after in zip(order, [*order[1:], -1], strict=False):
        piece = pieces[here]
        parts.append(piece.text if kept[here] else piece.brief)
        if after < 0:
            break
        if piece.path and pieces[after].path and (piece.group == pieces[after].group or not kept[here]):
            parts.append(" ")
        else:
            parts.append(piece.glue if after == here + 1 else _gap(piece))
    return "".join(parts)


def _gap(piece: Piece) -> str:
    """Lines show by themselves that something is missing between them; sentences do not."""
    return f" {GAP} " if piece.glue.isspace() and "\n" not in piece.glue else "\n"
