"""Confidence intervals at 95%."""

from __future__ import annotations

import math

Z = 1.959964
"""Quantile .975 of the normal distribution."""


def share_interval(successes: float, n: int) -> tuple[float, float]:
    """Returns the interval of a share, by Wilson (1927); (0, 1) for no values.

    `successes` may be a sum of ratings in [0, 1], whose variance is never larger than a share's.
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = successes / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def share_difference(first: float, n_first: int, second: float, n_second: int) -> tuple[float, float]:
    """Returns the interval of share 1 minus share 2, by Newcombe's hybrid score (1998, method 10)."""
    if not n_first or not n_second:
        return -1.0, 1.0
    p1, p2 = first / n_first, second / n_second
    low1, high1 = share_interval(first, n_first)
    low2, high2 = share_interval(second, n_second)
    low = p1 - p2 - math.hypot(p1 - low1, high2 - p2)
    high = p1 - p2 + math.hypot(high1 - p1, p2 - low2)
    return low, high


def mean_difference(
    sum1: float, squares1: float, n1: int, sum2: float, squares2: float, n2: int
) -> tuple[float, float] | None:
    """Returns the interval of mean 1 minus mean 2, by Welch with the normal quantile; None below two values a side."""
    if n1 < 2 or n2 < 2:
        return None
    mean1, mean2 = sum1 / n1, sum2 / n2
    variance1 = max(0.0, (squares1 - n1 * mean1**2) / (n1 - 1))
    variance2 = max(0.0, (squares2 - n2 * mean2**2) / (n2 - 1))
    half = Z * math.sqrt(variance1 / n1 + variance2 / n2)
    return mean1 - mean2 - half, mean1 - mean2 + half
