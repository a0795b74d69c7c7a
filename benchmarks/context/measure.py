"""What of a problem's facts is left in a compressed text."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from benchmarks.context.problem import Problem

Z95 = 1.96


def kept(problem: Problem, text: str) -> list[float]:
    """One number a fact, 0 to 1."""
    if problem.gold:
        lines = set(text.split("\n"))
        whole = sum(map(len, problem.gold))
        return [sum(len(turn) for turn in problem.gold if turn in lines) / whole]
    folded = text.casefold()
    if problem.facts:
        where = folded if problem.words else text
        return [
            float(all((term.casefold() if problem.words else term) in where for term in fact)) for fact in problem.facts
        ]
    return [float(any(answer.casefold() in folded for answer in problem.answers))]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95% interval of the mean: Wilson's for shares of 0 and 1, the normal one for others."""
    n = len(values)
    if not n:
        return 0.0, 1.0
    mean = statistics.fmean(values)
    if all(value in (0.0, 1.0) for value in values):
        middle = (mean + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 / (1 + Z95**2 / n) * math.sqrt(mean * (1 - mean) / n + Z95**2 / (4 * n * n))
    else:
        middle = mean
        half = Z95 * statistics.stdev(values) / math.sqrt(n) if n > 1 else 1.0
    return max(0.0, middle - half), min(1.0, middle + half)
