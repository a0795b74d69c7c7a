"""The dispatcher's end: one connection to each agent it uses, many turns on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import orjson

from ossa.channel.frames import Frame
from ossa.channel.line import CONNECT_TIMEOUT_S, SILENCE_S, Line, dial
from ossa.contracts.errors import AgentLost, Fenced, FleetBusy, NotReady, OssaError
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.origin import apart
from ossa.contracts.task import Step, Turn, lacks_answer
from ossa.contracts.turn import OnDelta, OnSteps, OnTurnCall, TurnCall, TurnResult

log = logging.getLogger(__name__)

CALLS_MAX = 16
"""Open questions of one turn."""


class ChannelLink:
    """`AgentLink` over TCP.

    A dead process closes its socket and is noticed at once; a host that
    vanished is noticed after `silence_s` without an answer to a ping.

    Args:
        token: returns the fleet's channel token (it arrives with the first snapshot).
        connect_timeout_s: for the connection and the greeting together.
        silence_s: how long an agent with running turns may stay silent.
    """

    def __init__(
        self, token: Callable[[], str], *, connect_timeout_s: float = CONNECT_TIMEOUT_S, silence_s: float = SILENCE_S
    ) -> None:
        self._token = token
        self._connect_timeout_s = connect_timeout_s
        self._silence_s = silence_s
        self._open: dict[str, Line] = {}
        self._opening: dict[str, asyncio.Task[Line]] = {}

    async def run(
        self, agent: AgentInfo, turn: Turn, *, on_delta: OnDelta, on_steps: OnSteps, on_call: OnTurnCall | None = None
    ) -> TurnResult:
        line = self._open.get(agent.incarnation)
        if line is None or line.lost:
            line = await self._connect(agent)
        number, inbox = line.begin({"t": "turn", "turn": orjson.Fragment(turn.json_bytes())})
        try:
            return await _converse(line, number, inbox, agent, on_delta, on_steps, on_call)
        except (AgentLost, FleetBusy, Fenced):
            raise  # the turn is not running, or its nack has told it already
        except BaseException:
            line.send({"t": "cancel", "id": number})
            raise
        finally:
            line.end(number)

    async def close(self) -> None:
        for task in self._opening.values():
            task.cancel()
        for line in self._open.values():
            line.hang_up()
        self._open.clear()

    async def _connect(self, agent: AgentInfo) -> Line:
        """Many turns that want one agent share one attempt; one that is cancelled does not end it."""
        opening = self._opening.get(agent.incarnation)
        if opening is None:
            opening = asyncio.create_task(self._dial(agent), context=apart())  # other requests' turns will use it
            self._opening[agent.incarnation] = opening
            opening.add_done_callback(lambda done: self._dialled(agent.incarnation, done))
        return await asyncio.shield(opening)

    def _dialled(self, incarnation: str, done: asyncio.Task[Line]) -> None:
        self._opening.pop(incarnation, None)
        if not done.cancelled() and done.exception() is None:
            self._open[incarnation] = done.result()

    async def _dial(self, agent: AgentInfo) -> Line:
        try:
            return await dial(
                agent.address,
                self._token(),
                connect_timeout_s=self._connect_timeout_s,
                silence_s=self._silence_s,
                on_lost=lambda: self._open.pop(agent.incarnation, None),
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise AgentLost(f"agent {agent.agent_id} does not answer at {agent.address}") from error


async def _converse(
    line: Line,
    number: int,
    inbox: asyncio.Queue[Frame | None],
    agent: AgentInfo,
    on_delta: OnDelta,
    on_steps: OnSteps,
    on_call: OnTurnCall | None,
) -> TurnResult:
    calls: set[asyncio.Task[None]] = set()
    try:
        return await _listen(line, number, inbox, agent, on_delta, on_steps, on_call, calls)
    finally:
        for call in calls:
            call.cancel()


async def _listen(
    line: Line,
    number: int,
    inbox: asyncio.Queue[Frame | None],
    agent: AgentInfo,
    on_delta: OnDelta,
    on_steps: OnSteps,
    on_call: OnTurnCall | None,
    calls: set[asyncio.Task[None]],
) -> TurnResult:
    """Reads the turn's frames until its end. Calls are answered concurrently, so that they hold up no other frame."""
    while True:
        frame = await inbox.get()
        if frame is None:
            raise AgentLost(f"the connection to agent {agent.agent_id} broke")
        kind = frame["t"]
        if kind == "done":
            return _result(frame)
        if kind == "delta":
            await on_delta(frame["text"])
        elif kind == "steps":
            await _commit(line, number, frame, on_steps)
        elif kind == "ask":
            call = asyncio.create_task(_answer(line, number, frame, None if len(calls) >= CALLS_MAX else on_call))
            calls.add(call)
            call.add_done_callback(calls.discard)
        elif kind == "busy":
            raise FleetBusy(f"agent {agent.agent_id} is {frame['reason']}", retry_after_s=1.0)


def _result(frame: Frame) -> TurnResult:
    document = frame["result"]
    steps = document["steps"]
    brief = bool(steps) and lacks_answer(steps[-1])
    if brief:
        steps[-1]["payload"] = {"message": document["outcome"]["message"], **steps[-1]["payload"]}
    result = TurnResult.model_validate(document)
    _keep_encoded(result.steps[:-1] if brief else result.steps, frame)
    return result


def _keep_encoded(steps: Sequence[Step], frame: Frame) -> None:
    """Agents of earlier versions do not say where in the frame their steps lie."""
    for step, encoded in zip(steps, frame.get("encoded", ()), strict=False):
        step.keep_encoded(encoded)


async def _commit(line: Line, number: int, frame: Frame, on_steps: OnSteps) -> None:
    try:
        steps = [Step.model_validate(step) for step in frame["steps"]]
        _keep_encoded(steps, frame)
        await on_steps(steps)
    except OssaError as error:
        line.send({"t": "nack", "id": number, "seq": frame["seq"], "code": error.code, "message": error.message})
        raise
    line.send({"t": "ack", "id": number, "seq": frame["seq"]})


async def _answer(line: Line, number: int, frame: Frame, on_call: OnTurnCall | None) -> None:
    """Answers one call of the turn. An error goes back to the turn, which goes on without an answer."""
    seq = frame["seq"]
    try:
        if on_call is None:
            raise NotReady("this owner takes no calls")
        answer = await on_call(TurnCall.model_validate(frame["ask"]))
    except OssaError as error:
        why = {"code": error.code, "message": error.message, "param": error.param, "retry_after_s": error.retry_after_s}
        line.send({"t": "nack", "id": number, "seq": seq, **why})
    except Exception:
        log.exception("channel_ask_failed")
        line.send({"t": "nack", "id": number, "seq": seq, "code": "internal", "message": "the owner failed"})
    else:
        line.send({"t": "answer", "id": number, "seq": seq, "answer": orjson.Fragment(answer.json_bytes())})
