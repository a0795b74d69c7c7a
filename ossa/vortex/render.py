"""What was kept, as text, with marks where something was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ossa.vortex.piece import Piece

GAP = "…"


FEW_TOKENS = 250
"""Under a smaller budget the note itself is put briefly."""


def render(pieces: Sequence[Piece], kept: Mapping[int, bool], handle: str, *, tight: bool = False) -> str:
    """The kept pieces in their order, and a last line that says how much is missing and how to get it.

    Also where nothing is: what stays may be written in fewer characters than the original was.

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
