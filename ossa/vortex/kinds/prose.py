"""Prose: sentences, grouped by paragraph; and dialogues: turns, grouped with their neighbours."""

from __future__ import annotations

import re

from ossa.vortex.piece import Piece
from ossa.vortex.signals import fault_weight

# Not after an initial, an abbreviation or a number's point.
END = re.compile(
    r"(?<![A-Z]\.)(?<!\b[A-Z])(?<!\bMr|\bMs|\bDr|\bSt|\bvs|\bNo)(?<!\bMrs|\be\.g|\bi\.e|\betc)[.!?][\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])"
)
PARAGRAPH = re.compile(r"\n\s*\n")
PRONOUN = re.compile(
    r"(?:He|She|It|They|His|Her|Its|Their|This|These|Those|The (?:song|film|book|album|band|series|show))\b"
)
"""A sentence that begins with one of these needs the title to be understood."""

TITLE_CHARS = 90
LONG_CHARS = 1200


def split(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    at = 0
    for group, gap in enumerate([*PARAGRAPH.finditer(text), None]):
        end = gap.start() if gap else len(text)
        _paragraph(text[at:end], group, gap.group() if gap else "", pieces)
        at = gap.end() if gap else end
    return pieces


def _paragraph(text: str, group: int, glue: str, pieces: list[Piece]) -> None:
    head = -1
    for line in text.split("\n"):
        title = (
            head < 0 and 0 < len(line) <= TITLE_CHARS and "\n" in text and not line.rstrip().endswith((".", "!", "?"))
        )
        first = len(pieces)
        for sentence, space in _sentences(line):
            needs = head if head >= 0 and (PRONOUN.match(sentence) or len(pieces) == head + 1) else -1
            pieces.append(Piece(sentence, group=group, head=needs, glue=space, prior=0.3 * fault_weight(sentence)))
        if len(pieces) > first:
            pieces[-1].glue = "\n"
            if title:
                head = first
    if pieces and glue:
        pieces[-1].glue = glue


def _sentences(line: str) -> list[tuple[str, str]]:
    """Returns sentences with the white space behind them. One that is too long is cut between words."""
    sentences: list[tuple[str, str]] = []
    at = 0
    for end in END.finditer(line):
        cut = end.start() + len(end.group().rstrip())
        sentences.append((line[at:cut], line[cut : end.end()]))
        at = end.end()
    if line[at:].strip():
        sentences.append((line[at:], ""))
    return [part for sentence in sentences for part in _cut(*sentence)]


def _cut(text: str, space: str) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    while len(text) > LONG_CHARS:
        at = text.rfind(" ", LONG_CHARS // 2, LONG_CHARS)
        at = at + 1 if at > 0 else LONG_CHARS
        parts.append((text[:at], ""))
        text = text[at:]
    return [*parts, (text, space)]


WINDOW = 6
"""So many turns are one group."""


def split_dialogue(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    for number, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        for part, _ in _cut(line, ""):
            pieces.append(Piece(part, group=number // WINDOW, glue="\n"))
    return pieces
