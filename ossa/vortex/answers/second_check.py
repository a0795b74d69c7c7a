"""Before another question's answer is served: do both ask the same? Rules first, then the trained pair model."""

from __future__ import annotations

from ossa.vortex.answers.agreement import disagreement
from ossa.vortex.answers.pair_model import pair_model
from ossa.vortex.answers.reading import read

MAX_CHARS = 2000
"""A longer question is never answered with another's answer."""


def likelihood(question: str, earlier: str, cosine: float) -> float:
    """That both ask the same, 0 to 1; 0 where a rule speaks against it."""
    if max(len(question), len(earlier)) > MAX_CHARS:
        return 0.0
    one, other = read(question), read(earlier)
    if disagreement(one, other) is not None:
        return 0.0
    return pair_model().likelihood(one, other, cosine)
