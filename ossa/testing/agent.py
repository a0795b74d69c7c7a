"""Fakes of the turn's seams, with test verbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ossa.contracts.errors import NotReady
from ossa.contracts.task import Delta, Step
from ossa.contracts.turn import TurnCall, TurnCallResult


class RecordingSink:
    """A `TurnSink` that keeps what it is told. `fail_next_commit` makes the owner go away.

    Args:
        answer: answers the turn's calls. Without it they raise `NotReady`.
    """

    def __init__(self, answer: Callable[[TurnCall], TurnCallResult] | None = None) -> None:
        self.asked: list[TurnCall] = []
        self._answer = answer
        self.deltas: list[Delta] = []
        self.commits: list[tuple[Step, ...]] = []
        self._failures: list[Exception] = []

    @property
    def steps(self) -> tuple[Step, ...]:
        """All committed steps, in order."""
        return tuple(step for commit in self.commits for step in commit)

    @property
    def text(self) -> str:
        return "".join(delta if isinstance(delta, str) else delta.get("content", "") for delta in self.deltas)

    def fail_next_commit(self, error: Exception) -> None:
        self._failures.append(error)

    async def delta(self, delta: Delta) -> None:
        self.deltas.append(delta)

    async def commit(self, steps: Sequence[Step]) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.commits.append(tuple(steps))

    async def call(self, call: TurnCall) -> TurnCallResult:
        self.asked.append(call)
        if self._answer is None:
            raise NotReady("this owner answers no questions")
        return self._answer(call)
