"""What is worth something in any text, whatever is asked: faults, negations, identifiers, numbers."""

from __future__ import annotations

import re

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
    """0 to 1: 1 for a fault, 0.4 for a warning; a fault that is said not to be is none."""
    folded = text.lower()
    if FAULT.search(folded):
        return 0.3 if QUIET.search(folded) and not FAULT.search(QUIET.sub("", folded)) else 1.0
    if FAULT_NAME.search(text):
        return 1.0
    return 0.6 if WARNING.search(folded) else 0.0


def names_in(question: str, *, limit: int = 64) -> tuple[str, ...]:
    """What the question calls by name: identifiers, quoted strings, CamelCase. Folded; the last ones first."""
    found = [*IDENTIFIER.findall(question), *CAMEL.findall(question), *QUOTED.findall(question)]
    folded = dict.fromkeys(name.casefold().strip(" .:-") for name in reversed(found))
    return tuple(name for name in folded if len(name) >= 3)[:limit]
