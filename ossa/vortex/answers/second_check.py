"""Before another question's answer is served: do both ask the same? Rules first, then the trained pair model."""

from __future__ import annotations

import re

from ossa.vortex.answers.agreement import disagreement
from ossa.vortex.answers.pair_model import pair_model
from ossa.vortex.answers.reading import read

_LAYOUT = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")

MAX_CHARS = 2000
"""A longer question is never answered with another's answer."""


def judgeable(question: str) -> bool:
    """Only one line of prose is: in code, tables and the like the layout is part of what is asked."""
    return len(question) <= MAX_CHARS and _LAYOUT.search(question.strip()) is None


def likelihood(question: str, earlier: str, cosine: float) -> float:
    """That both ask the same, 0 to 1; 0 where a rule speaks against it."""
    if not (judgeable(question) and judgeable(earlier)):
        return 0.0
    one, other = read(question), read(earlier)
    if disagreement(one, other) is not None:
        return 0.0
    return pair_model().likelihood(one, other, cosine)
