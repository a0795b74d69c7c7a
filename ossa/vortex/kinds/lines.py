"""Logs, shell output, stack traces, tables, code, diffs: the line is the unit, lines of one shape are a template."""

from __future__ import annotations

import re

from ossa.contracts.compression import Kind
from ossa.vortex.piece import Piece
from ossa.vortex.signals import fault_weight

LONG_CHARS = 600
VARIABLE = re.compile(r"[\w.:/@+-]*\d[\w.:/@+-]*|\"[^\"]*\"|'[^']*'|(?<=[Ii][Dd][:=] )\w+|(?<=[Ii][Dd][:=])\w+")
"""The parts that differ between lines of one template: words with a digit, quoted text, and ids."""
PLACE = re.compile(
    r"https?://\S+|(?:[\w.-]+/)+[\w.-]+|^\[File: "
    r"|\b[\w-]+\.(?:py|js|ts|go|rs|java|c|h|cpp|rb|sh|md|ya?ml|json|toml|txt|cfg|pl)\b(?::\d+)?"
)
"""A file or a place in one, which the next step will name."""

FIRST = 0.4
"""Least prior of the first line, which says what the rest is."""

DEFINITION = re.compile(
    r"^\s*(?:\d+[:|\t ]\s*)?(?:(?:async )?def |class |import |from \S+ import|func |fn |pub |type |interface |struct |"
    r"public |export |#include|package )"
)
HUNK = re.compile(r"^(?:diff --git |@@ |\+\+\+ |--- )")
FRAME = re.compile(r"^\s*(?:at |File \")")
BREAK = re.compile(r"(?<=[,;}\]|>])\s*|\\n|\s{2,}")


Shapes = dict[str, int]
"""Lines without their variable parts, by number: one for the whole content, so that repeats are seen across it."""


def split(text: str, kind: Kind, shapes: Shapes) -> list[Piece]:
    pieces: list[Piece] = []
    head = -1
    group = 0
    for line in text.split("\n"):
        if not line.strip():
            group += 1
            continue
        for part in _parts(line):
            piece = Piece(part, group=group, prior=_prior(part, kind), glue="\n")
            if kind in ("log", "table", "shell"):
                piece.template = shapes.setdefault(VARIABLE.sub("#", part)[:200], len(shapes))
            if not pieces:
                piece.prior = max(piece.prior, FIRST)
            if kind == "table" and not pieces:
                head = 0
            elif kind == "diff" and HUNK.match(part):
                head = len(pieces)
            elif head >= 0:
                piece.head = head
            pieces.append(piece)
    return pieces


def _parts(line: str) -> list[str]:
    """Returns the line, or the parts of one that is too long to stay or go as a whole."""
    if len(line) <= LONG_CHARS:
        return [line.rstrip()]
    parts: list[str] = []
    at = 0
    while len(line) - at > LONG_CHARS:
        cut = next((m.end() for m in BREAK.finditer(line, at + LONG_CHARS // 3, at + LONG_CHARS) if m.end() > at), 0)
        cut = cut or at + LONG_CHARS
        parts.append(line[at:cut])
        at = cut
    return [*parts, line[at:]]


def _prior(line: str, kind: Kind) -> float:
    weight = fault_weight(line)
    if kind in ("shell", "code", "stack") and PLACE.search(line):
        weight = max(weight, 0.5)
    if kind == "stack":
        return max(weight, 0.2 if FRAME.match(line) else 0.6)
    if kind == "code":
        return max(0.5 * weight, 0.6 if DEFINITION.match(line) else 0.0)
    if kind == "diff":
        return max(weight, 0.5 if line.startswith(("+", "-", "@@", "diff")) else 0.0)
    return weight
