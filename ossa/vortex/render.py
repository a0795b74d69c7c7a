"""What was kept, as text, with marks where something was left out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ossa.vortex.piece import Piece

GAP = "…"


def render(pieces: Sequence[Piece], kept: Collection[int], handle: str) -> str:
    """The kept pieces in their order, and a last line that says how much is missing and how to get it.

    Also where nothing is: what stays may be written in fewer characters than the original was.
    """
    note = f"[{len(pieces) - len(kept)} left out: {handle}]"
    body = _joined(pieces, sorted(kept))
    return f"{body}\n{note}" if body else note


def note_tokens_text(pieces: int, handle: str) -> str:
    """A note as long as any this content can get: its tokens are set aside."""
    return f"\n[{pieces} left out: {handle}]"


def _joined(pieces: Sequence[Piece], kept: Sequence[int]) -> str:
    parts: list[str] = []
    for here, after in zip(kept, [*kept[1:], -1], strict=False):
        piece = pieces[here]
        parts.append(piece.text)
        if after < 0:
            break
        parts.append(piece.glue if after == here + 1 else _gap(piece))
    return "".join(parts)


def _gap(piece: Piece) -> str:
    """Lines show by themselves that something is missing between them; sentences do not."""
    return f" {GAP} " if piece.glue.isspace() and "\n" not in piece.glue else "\n"
