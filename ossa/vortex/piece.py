"""The unit that is kept or left out."""

from __future__ import annotations

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
