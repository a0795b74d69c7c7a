"""Circuit breakers of models' tiers and of agents, by `tier_subject` and `agent_subject`."""

from __future__ import annotations

from collections.abc import Callable

from ossa.resilience import breaker

FAILURES = 5
OPEN_S = 5.0
LONGEST_S = 300.0
SUBJECTS_MAX = 10_000


class Breakers(breaker.Breakers):
    """A breaker opens after `FAILURES` in a row; each try that fails doubles its rest, up to `LONGEST_S`.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, failures=FAILURES, rest_s=OPEN_S, longest_s=LONGEST_S, most=SUBJECTS_MAX)

    def ended(self, subject: str, *, failed: bool) -> None:
        """A turn that went there has ended."""
        if failed:
            self.failed(subject)
        else:
            self.succeeded(subject)
