"""What a prompt costs at a provider that keeps the prompts it has seen, in tokens at the full input price."""

from __future__ import annotations

from ossa.contracts.configuration import PromptCache


def prompt_cost(tokens: int, cached: int, cache: PromptCache) -> float:
    """The price of one prompt.

    Args:
        tokens: of the whole prompt.
        cached: how many of them, from its start, were in the last prompt and are still kept.
    """
    stored = _stored(tokens, cache)
    hit = min(_stored(cached, cache), stored)
    return hit * cache.read + (stored - hit) * cache.write + (tokens - stored)


def _stored(tokens: int, cache: PromptCache) -> int:
    """What of a prompt the provider keeps: whole steps, and nothing of a short one."""
    return 0 if tokens < cache.min_prefix_tokens else tokens - tokens % cache.step_tokens


class Bill:
    """One conversation's prompts as they were sent, beside what they would have cost had nothing been shortened.

    `spent` and `whole` are in tokens at the full input price.
    """

    def __init__(self, cache: PromptCache) -> None:
        self._cache = cache
        self.spent = 0.0
        self.whole = 0.0
        self.calls = 0

    @property
    def banked(self) -> float:
        """What shortening has saved so far; below zero: what it has cost."""
        return self.whole - self.spent

    def add(self, *, tokens: int, cached: int, whole_tokens: int, whole_cached: int) -> None:
        """One model call."""
        self.spent += prompt_cost(tokens, cached, self._cache)
        self.whole += prompt_cost(whole_tokens, whole_cached, self._cache)
        self.calls += 1

    def add_look_up(self, *, tokens: int, cached: int) -> None:
        """One that follows a fetch of what was left out: a whole conversation would have done without."""
        self.spent += prompt_cost(tokens, cached, self._cache)
        self.calls += 1
