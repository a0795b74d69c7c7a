"""The names in a line, which may stand for it where there is no room for more."""

from __future__ import annotations

import re

from ossa.contracts.compression import Kind
from ossa.vortex.signals import fault_weight

NAME = re.compile(
    r"https?://[^\s\"'<>]+|(?:~|\.{0,2})/?(?:[\w.+-]+/)+[\w.+-]*|\b[\w-]+\.[A-Za-z]{1,5}\b(?::\d+)?"
    r"|(?<![\w])(?=[\w./:@-]*\d)[A-Za-z_][\w.:@-]{3,}\w|\b\w+(?:Error|Exception)\b"
)
NUMBER = re.compile(r"^\s*\d+[:|]")
NEGATION = re.compile(r"(?i)\b(?:not|no|never|none|without|cannot|nor|neither)\b|n't\b")
DIRECTORY = re.compile(r"(?:/[\w.+-]+){1,}/?")
SENTENCE = re.compile(r"[.!?](?=\s+[A-Z])")
LEAST_CHARS = 40
SHORTER = 0.7
"""Of a line's length a brief has at most so much; else the line itself is as good."""


def brief_of(line: str, kind: Kind, known: tuple[str, ...]) -> str:
    """The first sentence of a log's line, the names in any other line.

    Empty for a line that cannot be told by its names: it has none, is short, tells of a fault, or denies something.

    Args:
        known: directories that the reader knows: paths below them are told from there.
    """
    if kind == "log":
        end = SENTENCE.search(line, LEAST_CHARS)
        return line[: end.end()].rstrip() if end and end.end() <= SHORTER * len(line) else ""
    if fault_weight(line) >= 0.6 or NEGATION.search(line):
        return ""
    found = dict.fromkeys(_below(name, known) for name in NAME.findall(line))
    if not found:
        return ""
    number = NUMBER.match(line)
    made = " ".join([*([number.group()] if number else []), *found])
    return made if len(made) <= SHORTER * len(line) else ""


def directories(question: str) -> tuple[str, ...]:
    """Directories that the question names, the longest first."""
    found = {name.rstrip("/") + "/" for name in DIRECTORY.findall(question)}
    return tuple(sorted((name for name in found if len(name) > 8), key=len, reverse=True))


def _below(name: str, known: tuple[str, ...]) -> str:
    for directory in known:
        if name.startswith(directory) and len(name) > len(directory):
            return name[len(directory) :]
    return name
