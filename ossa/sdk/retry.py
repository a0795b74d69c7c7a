"""Decides whether and when to send a request again. Pure."""

from __future__ import annotations

from random import Random

from ossa.contracts.errors import AgentLost, Fenced, FleetBusy, NotReady, OssaError, StoreUnavailable, TimedOut
from ossa.contracts.value import Value
from ossa.resilience.backoff import backoff_s
from ossa.sdk.errors import Unreachable

_PASSING = (FleetBusy, NotReady, StoreUnavailable, AgentLost, Fenced)


class RetryPolicy(Value):
    """Waits with full jitter under a doubling bound; a `Retry-After` of the server is the least wait."""

    max_retries: int = 2
    backoff_s: float = 0.25
    longest_wait_s: float = 20.0

    def wait_s(self, attempt: int, error: OssaError, *, repeatable: bool, rng: Random) -> float | None:
        """Returns the seconds to wait before attempt + 1 (the first is 0), or None: the caller gets the error.

        A request that is not `repeatable` goes out again only when the one before surely never arrived or was refused.
        """
        if attempt >= self.max_retries or not _may_repeat(error, repeatable=repeatable):
            return None
        asked = error.retry_after_s or 0.0
        if asked > self.longest_wait_s:
            return None
        wait = backoff_s(attempt, first_s=self.backoff_s, longest_s=self.longest_wait_s, roll=rng.random())
        return min(self.longest_wait_s, asked + wait)


def _may_repeat(error: OssaError, *, repeatable: bool) -> bool:
    if isinstance(error, Unreachable):
        return repeatable or error.details.get("sent") is False
    if isinstance(error, FleetBusy):
        return True
    if isinstance(error, TimedOut):
        return False
    return repeatable and isinstance(error, _PASSING)
