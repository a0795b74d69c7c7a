"""How long to wait before the next try."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def backoff_s(tries: int, *, first_s: float, longest_s: float, jitter: float = 1.0, roll: float) -> float:
    """The wait after so many failed tries. Its bound doubles from `first_s` to `longest_s`.

    Args:
        tries: that failed before the last one; 0 after the first failure.
        jitter: share of the bound that is drawn: 1 draws from nothing to the bound ("full jitter"), 0 waits the bound.
        roll: a uniform random number in [0, 1).
    """
    # The exponent is bounded because a float's is; 2 ** 30 is beyond every longest wait.
    bound = min(longest_s, first_s * 2.0 ** min(tries, 30))
    return bound * (1 - jitter + jitter * roll)


class Backoff:
    """The waits of one loop, by `backoff_s`."""

    __slots__ = ("_first_s", "_jitter", "_longest_s", "_roll", "_sleep", "tries")

    # No dataclass: every agent's process imports this module, and making one costs more than all the rest of it.
    def __init__(
        self,
        first_s: float,
        longest_s: float,
        *,
        jitter: float = 1.0,
        roll: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._jitter = jitter
        self._roll = roll
        self._sleep = sleep
        self.tries = 0

    def next_s(self) -> float:
        """Counts a try, and returns the wait after it."""
        tries, self.tries = self.tries, self.tries + 1
        bounds = {"first_s": self._first_s, "longest_s": self._longest_s, "jitter": self._jitter}
        return backoff_s(tries, **bounds, roll=self._roll())

    async def pause(self) -> None:
        """Counts a try, and waits."""
        await self._sleep(self.next_s())

    def reset(self) -> None:
        """Something succeeded: the next wait is the first again."""
        self.tries = 0


async def until_answered(attempt: Callable[[], Awaitable[T]], error: type[Exception], backoff: Backoff) -> T:
    """Repeats the attempt until it no longer raises `error`; raises whatever else it raises."""
    while True:
        try:
            return await attempt()
        except error:
            await backoff.pause()
