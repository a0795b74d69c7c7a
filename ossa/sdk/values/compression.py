"""What became of a content that was compressed."""

from __future__ import annotations

from ossa.sdk.values.received import Received


class Dropped(Received):
    kind: str
    pieces: int
    tokens: int
    why: str


class Compression(Received):
    """`text` is what to use; `decompress(handles[0])` (or of `text`) gives the original back, for a week."""

    text: str
    tokens_before: int
    tokens_after: int
    reduction: float
    fidelity: float
    handles: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    kinds: dict[str, float] = {}
    widened: bool = False
    milliseconds: float = 0.0
