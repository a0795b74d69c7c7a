"""A content as blocks of pieces."""

from __future__ import annotations

from ossa.contracts.compression import Kind
from ossa.vortex.kinds import json_text, lines, prose
from ossa.vortex.kinds.detect import split_blocks
from ossa.vortex.kinds.lines import Shapes
from ossa.vortex.piece import Block, Piece

REMARK_CHARS = 1200
REMARK_WEIGHT = 0.35


def split(content: str, kind: Kind | None = None, *, terse: bool = False) -> list[Block]:
    """Blocks with their pieces; `head` and `group` count through all blocks.

    Args:
        kind: of the whole content, when the caller knows it.
        terse: cut finely, for a content that is small: JSON to its leaves.
    """
    blocks = [Block(kind, 0, len(content))] if kind else split_blocks(content)
    shapes: Shapes = {}
    _settle(blocks, content)
    first = 0
    for number, block in enumerate(blocks):
        block.pieces = _pieces(content[block.start : block.end], block, shapes, terse)
        for piece in block.pieces:
            piece.block, piece.head, piece.also = number, _moved(piece.head, first), _moved(piece.also, first)
        first += len(block.pieces)
    return blocks


def _settle(blocks: list[Block], content: str) -> None:
    """Short remarks between the outputs of tools are output too: they are read for faults, not as an essay.

    A short JSON beside longer outputs tells how they came about, and counts less than they do.
    """
    prose_chars = sum(block.end - block.start for block in blocks if block.kind == "prose")
    kinds = {block.kind for block in blocks}
    for block in blocks:
        if block.end - block.start < REMARK_CHARS and len(kinds) > 1:
            if block.kind == "prose" and 2 * prose_chars < len(content):
                block.kind = "shell"
            elif block.kind == "json":
                block.weight = REMARK_WEIGHT


def _moved(number: int, by: int) -> int:
    return number + by if number >= 0 else -1


def _pieces(text: str, block: Block, shapes: Shapes, terse: bool) -> list[Piece]:
    if block.kind == "json":
        found = json_text.split(text, shapes, terse=terse)
        if found is not None:
            return found
        block.kind, block.weight = "shell", 1.0
    if block.kind == "prose":
        return prose.split(text)
    if block.kind == "dialogue":
        return prose.split_dialogue(text)
    return lines.split(text, block.kind, shapes)
