"""How many agents each pool gets of a total."""

from __future__ import annotations

from collections.abc import Mapping


def ratio(target: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Split `target` by weight (largest remainder), at least one a pool.

    The parts sum to `target`. Raises `ValueError` when there are fewer agents than pools.
    """
    if target < len(weights):
        raise ValueError(f"{target} agents cannot fill {len(weights)} pools")
    spare = target - len(weights)
    total = sum(weights.values())
    # What a pool is owed beyond its first agent; never less than nothing.
    owed = {pool: max(0.0, target * weight / total - 1) for pool, weight in weights.items()}
    scale = spare / sum(owed.values()) if spare else 0.0
    exact = {pool: share * scale for pool, share in owed.items()}
    parts = {pool: 1 + int(share) for pool, share in exact.items()}
    left = target - sum(parts.values())
    by_remainder = sorted(exact, key=lambda pool: exact[pool] - int(exact[pool]), reverse=True)
    for pool in by_remainder[:left]:
        parts[pool] += 1
    return parts
