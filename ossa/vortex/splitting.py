"""A content as blocks of pieces: names the kind of each stretch in one pass over its lines, then cuts it."""

from __future__ import annotations

import json
import re
from itertools import pairwise

from ossa.contracts.compression import Kind
from ossa.vortex.kinds import json_text, lines, prose
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
        pieces = json_text.split(text, shapes, terse=terse)
        if pieces is not None:
            return pieces
        block.kind, block.weight = "shell", 1.0
    if block.kind == "prose":
        return prose.split(text)
    if block.kind == "dialogue":
        return prose.split_dialogue(text)
    return lines.split(text, block.kind, shapes)


LOOK = 40
"""At most so many lines are looked at to name a stretch."""

TIMESTAMP = re.compile(
    r"^\W{0,3}(?:\x1b\[[\d;]*m)?(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\d\d:\d\d:\d\d|\d{4}/\d\d/\d\d"
    r"|[A-Z][a-z]{2} +\d+ \d\d:\d\d"
    r"|\[?(?:INFO|DEBUG|WARN|WARNING|ERROR|TRACE|FATAL)\b|[IWEF]\d{4} \d\d:)"
)
STACK = re.compile(
    r"^\s*(?:at [\w.$<>]+\(|File \"[^\"]+\", line \d+|Traceback \(most recent|Caused by:|goroutine \d+ \[)"
)
DIFF = re.compile(r"^(?:diff --git |@@ -\d|\+\+\+ |--- [ab/])")
SPEAKER = re.compile(r"^[A-Z][\w .,()/'-]{0,100}:\s")
NUMBERED = re.compile(r"^\s*\d+[:|\t ]\s?")
CODE = re.compile(
    r"^\s*(?:def |class |import |from \w+ import|return\b|if .*[:{]$|for .*[:{]$|while .*[:{]$|else:|\}|"
    r"#include|public |private |func |fn |let |const |var |package |[\w.\[\]]+\s*[-+*]?=\s*\S|@\w+|"
    r"//|/\*|\*/|elif |try:|except )"
)
COLUMNS = re.compile(r"\S(?:\s{2,}|\t|\s*\|\s*)\S")
JSON_START = re.compile(r"^\s*[\[{]")


def split_blocks(content: str) -> list[Block]:
    """Blocks that cover the content without gaps. Empty lines end a block; neighbours of one kind are one block."""
    if _one_document(content):
        return [Block("json", 0, len(content))]
    blocks: list[Block] = []
    for start, end in _paragraphs(content):
        kind = name_kind(content[start:end])
        if blocks and blocks[-1].kind == kind and kind != "json":
            blocks[-1].end = end
        else:
            blocks.append(Block(kind, start, end))
    return blocks


def _one_document(content: str) -> bool:
    """Whether the content is one JSON document of several lines. A document on one line is recognised by its line."""
    if not JSON_START.match(content) or content.rstrip()[-1:] not in "]}" or "\n" not in content.strip():
        return False
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _paragraphs(content: str) -> list[tuple[int, int]]:
    """Stretches between empty lines; a line that begins a JSON document or leaves one starts a stretch too."""
    cuts = [0]
    at = 0
    was_json = False
    blank = False
    for line in content.splitlines(keepends=True):
        is_json = len(line) > 1 and line[0] in "[{" and line.rstrip()[-1:] in "]}"
        if at and (is_json != was_json or blank) and line.strip():
            cuts.append(at)
        if line.strip():
            was_json, blank = is_json, False
        else:
            blank = True
        at += len(line)
    cuts.append(len(content))
    return [(start, end) for start, end in pairwise(cuts) if end > start]


def name_kind(text: str) -> Kind:
    """Names the kind of one stretch by its first and last lines."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return "prose"
    if JSON_START.match(lines[0]) and lines[-1].rstrip()[-1] in "]}," and ('"' in text[:400] or len(lines) == 1):
        return "json"
    sample = lines if len(lines) <= LOOK else [*lines[: LOOK // 2], *lines[-LOOK // 2 :]]
    share = 1 / len(sample)

    def of(pattern: re.Pattern[str]) -> float:
        return share * sum(1 for line in sample if pattern.search(line))

    if of(DIFF) > 0.02 and any(line.startswith("@@ ") for line in lines):
        return "diff"
    if of(STACK) > 0.25:
        return "stack"
    if of(TIMESTAMP) > 0.5:
        return "log"
    if len(sample) >= 3 and of(NUMBERED) > 0.6:
        return "code"
    if len(sample) >= 2 and of(COLUMNS) > 0.7 and of(CODE) < 0.5:
        return "table"
    if len(sample) >= 2 and of(CODE) > 0.45:
        return "code"
    if len(sample) >= 4 and of(SPEAKER) > 0.7 and _speakers_return(sample):
        return "dialogue"
    mean = sum(map(len, sample)) * share
    if len(sample) >= 3 and mean < 100 and not _sentences(text):
        return "shell"
    return "prose"


def _speakers_return(lines: list[str]) -> bool:
    """Whether names repeat: a dialogue's speakers do, the keys of a list do not."""
    names = [line.split(":", 1)[0] for line in lines if SPEAKER.match(line)]
    return len(set(names)) <= max(2, len(names) * 0.6)


def _sentences(text: str) -> bool:
    head = text[:4000]
    return len(re.findall(r"[a-z,]{2,} [a-z]{2,}[^\n]*?[.!?](?:\s|$)", head)) * 160 > len(head)
