"""Signals that count whatever is asked: faults, negations, identifiers, and the names in a line."""

from __future__ import annotations

import re

from ossa.contracts.compression import Kind

FAULT = re.compile(
    r"\b(?:error|err|fail(?:ed|ure|ing|s)?|exception|traceback|fatal|critical|panic|crash\w*|oom\w*|killed|evict\w*|"
    r"denied|forbidden|unauthori[sz]ed|refused|time(?:d)? ?out|timeout|unhealthy|back-?off|not ?found|"
    r"missing|undefined|expired|unavailable|cannot|unable|invalid|abort\w*|corrupt\w*|exceed\w*|unreachable|"
    r"unschedulable|partition(?:s|ed)?|down|lost|violat\w*|mismatch|conflict|deadlock|leak|degraded|misconfigured|unresolved|"
    r"could not|no such|pressure)\b"
)
"""Looked for in lower case, as are the next two: four times as fast as regardless of case."""

FAULT_NAME = re.compile(r"(?<=\w)(?:Error|Exception|BackOff|Failed|Failure|Killed)\b")
WARNING = re.compile(r"\b(?:warn(?:ing)?|deprecated|retry(?:ing)?|slow|pending|restart\w*|false|not ready|exit code)\b")
QUIET = re.compile(
    r"\b(?:0 (?:errors?|failures?|failed|warnings?)|no errors?|"
    r"error(?:s)?[\"']?\s*[:=]\s*(?:null|none|0|false|\"\"))"
)
IDENTIFIER = re.compile(r"(?<![\w])(?=[\w./:@-]*[\d_/:@-])[A-Za-z0-9_][\w./:@-]{2,}\w")
CAMEL = re.compile(r"\b[A-Za-z]+[a-z][A-Z]\w*\b|\b[A-Z]{2,}[a-z]\w+\b")
QUOTED = re.compile(r"[`\"']([^`\"'\n]{2,80})[`\"']")


def fault_weight(text: str) -> float:
    """Returns 1 for a fault, 0.6 for a warning, 0.3 for a fault that the text denies, else 0."""
    folded = text.lower()
    if FAULT.search(folded):
        return 0.3 if QUIET.search(folded) and not FAULT.search(QUIET.sub("", folded)) else 1.0
    if FAULT_NAME.search(text):
        return 1.0
    return 0.6 if WARNING.search(folded) else 0.0


def names_in(question: str, *, limit: int = 64) -> tuple[str, ...]:
    """Returns what the question calls by name (identifiers, quoted strings, CamelCase), folded, the last ones first."""
    names = [*IDENTIFIER.findall(question), *CAMEL.findall(question), *QUOTED.findall(question)]
    folded = dict.fromkeys(name.casefold().strip(" .:-") for name in reversed(names))
    return tuple(name for name in folded if len(name) >= 3)[:limit]


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
"""A brief has at most this share of its line's length; else the line itself is as good."""


def brief_of(line: str, kind: Kind, known_directories: tuple[str, ...]) -> str:
    """Returns the first sentence of a log's line, and the names in any other line.

    Empty for a line that cannot be told by its names: it has none, is short, tells of a fault, or denies something.

    Args:
        known: directories that the reader knows: paths below them are told from there.
    """
    if kind == "log":
        end = SENTENCE.search(line, LEAST_CHARS)
        return line[: end.end()].rstrip() if end and end.end() <= SHORTER * len(line) else ""
    if fault_weight(line) >= 0.6 or NEGATION.search(line):
        return ""
    names = dict.fromkeys(_below(name, known_directories) for name in NAME.findall(line))
    if not names:
        return ""
    number = NUMBER.match(line)
    brief = " ".join([*([number.group()] if number else []), *names])
    return brief if len(brief) <= SHORTER * len(line) else ""


def directories(question: str) -> tuple[str, ...]:
    """Directories that the question names, the longest first."""
    names = {name.rstrip("/") + "/" for name in DIRECTORY.findall(question)}
    return tuple(sorted((name for name in names if len(name) > 8), key=len, reverse=True))


def _below(name: str, known_directories: tuple[str, ...]) -> str:
    for directory in known_directories:
        if name.startswith(directory) and len(name) > len(directory):
            return name[len(directory) :]
    return name
