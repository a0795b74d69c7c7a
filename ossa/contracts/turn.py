"""The seam between whoever owns a task (a dispatcher) and whoever does it (an agent).

A dispatcher lives in a gateway replica, owns the task's lease and writes the
journal. An agent runs the turn and owns no store: what has to be durable goes
back through `TurnSink.commit`, which returns once the dispatcher has committed it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from ossa.contracts.compression import Compressed, CompressionOrder
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Delta, Outcome, Step, Turn
from ossa.contracts.value import Value


class TurnResult(Value):
    """The end of a turn. `steps` are the last ones, not yet committed: the owner commits them with the outcome.

    `outcome` may be a failed or cancelled one; an agent never raises for what a task did wrong.
    """

    outcome: Outcome
    steps: tuple[Step, ...] = ()

    def without_details(self) -> TurnResult:
        """Returns the result as peers of earlier versions take it."""
        update = {"usage": self.outcome.usage.without_details(), "logprobs": None}
        outcome = self.outcome.model_copy(update=update)
        return TurnResult(outcome=outcome, steps=tuple(step.without_details() for step in self.steps))


class CostRange(Value):
    """The cost of a model call in USD: of the shortest useful answer, and of the longest allowed one."""

    least_usd: float
    most_usd: float


class TurnCall(Value):
    """A running turn's request to its task's owner, who has stores and services that an agent lacks. One field is set.

    `compress`: contents to be shortened; `original`: the handle of one that was; `role`: the manifest's system prompt,
    whose placeholders are to be resolved; `reserve`: money for the next model call; `unused`: a reservation whose call
    surely cost nothing; `remember` and `recall`: fields of `ossa.contracts.memory`'s `NewMemory` and `Recall`, which an
    agent need not import.
    """

    compress: tuple[CompressionOrder, ...] = ()
    original: str = ""
    role: str = ""
    reserve: CostRange | None = None
    unused: str = ""
    remember: dict[str, Any] | None = None
    recall: dict[str, Any] | None = None


class TurnCallResult(Value):
    """The owner's reply to a `TurnCall`: `compressed`, in the order of the contents; the `original`; or the `role`.

    `values` belong at the end of the system message: they change from conversation to conversation. `granted_usd` may
    be spent; the call's step names the `reservation`, which is empty where no budget applies. `memories`: what was
    remembered, or recalled.
    """

    compressed: tuple[Compressed, ...] = ()
    original: str = ""
    role: str = ""
    values: str = ""
    granted_usd: float = 0.0
    reservation: str = ""
    memories: tuple[dict[str, Any], ...] = ()


class TurnSink(Protocol):
    """A running turn's way to its task's owner."""

    async def delta(self, delta: Delta) -> None:
        """A piece of the final answer, as it comes. Not durable."""

    async def commit(self, steps: Sequence[Step]) -> None:
        """Returns when the steps are in the journal. Raises `Fenced` when the task has another owner now."""

    async def call(self, call: TurnCall) -> TurnCallResult:
        """Raises the `OssaError` the owner met. May take its time: bound it."""


class TurnRunner(Protocol):
    """One agent's way to do a turn. Cancelling the awaiting task cancels the model call and running tools."""

    async def run(self, turn: Turn, sink: TurnSink) -> TurnResult: ...


OnDelta = Callable[[Delta], Awaitable[None]]
OnSteps = Callable[[Sequence[Step]], Awaitable[None]]
OnTurnCall = Callable[[TurnCall], Awaitable[TurnCallResult]]


class AgentLink(Protocol):
    """The owner's way to an agent. `ossa.channel.ChannelLink` is the real one."""

    async def run(
        self, agent: AgentInfo, turn: Turn, *, on_delta: OnDelta, on_steps: OnSteps, on_call: OnTurnCall | None = None
    ) -> TurnResult:
        """Run the turn there. Without `on_call` the owner can be asked nothing.

        Raises `AgentLost` when the agent or the way to it is gone, `FleetBusy`
        when it has no free slot (or drains). Cancelling the awaiting task cancels the turn.
        """

    async def close(self) -> None: ...
