"""The dispatcher's end: one connection to each agent it uses, many turns on it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable, Sequence
from typing import cast

import orjson

from ossa.channel.frames import ALL_FIELDS, ANSWER_IN_OUTCOME, PROTOCOL_VERSION, Frame, FrameError, FrameParser, encode
from ossa.contracts.errors import AgentLost, Fenced, FleetBusy, NotReady, OssaError
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.origin import apart
from ossa.contracts.task import Delta, Step, Turn, lacks_answer
from ossa.contracts.turn import OnDelta, OnSteps, OnTurnCall, TurnCall, TurnResult

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
SILENCE_S = 20.0
"""How long an agent may stay silent while a conversation is open."""


async def dial(
    address: str,
    token: str,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    silence_s: float = SILENCE_S,
    on_lost: Callable[[], object] = lambda: None,
) -> Line:
    """Connect to `host:port` and greet, within one time-out. Raises `OSError`, `TimeoutError`, `ValueError`."""
    host, _, port = address.rpartition(":")
    line = Line(silence_s, on_lost)
    try:
        async with asyncio.timeout(connect_timeout_s):
            await asyncio.get_running_loop().create_connection(lambda: line, host, int(port))
            line.send({"t": "hello", "v": PROTOCOL_VERSION, "token": token, "takes": [ANSWER_IN_OUTCOME, ALL_FIELDS]})
            await line.greeted
    except BaseException:
        line.hang_up()
        raise
    return line


class Line(asyncio.Protocol):
    """One connection to one agent's process: conversations, each with a number and an inbox of its own.

    An inbox ends with None when the connection is lost.
    """

    def __init__(self, silence_s: float, on_lost: Callable[[], object]) -> None:
        self._silence_s = silence_s
        self._on_lost = on_lost
        self._parser = FrameParser()
        self._transport: asyncio.Transport | None = None
        self._numbers = itertools.count(1)
        self._inboxes: dict[int, asyncio.Queue[Frame | None]] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._loop = asyncio.get_running_loop()
        self.greeted: asyncio.Future[None] = self._loop.create_future()
        self.lost = False

    def begin(self, frame: Frame) -> tuple[int, asyncio.Queue[Frame | None]]:
        """Send a conversation's first frame, with the number it gets here."""
        number = next(self._numbers)
        inbox: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._inboxes[number] = inbox
        if self.lost:
            inbox.put_nowait(None)
        self.send({**frame, "id": number})
        if self._watch is None:
            self._heard_at = self._loop.time()
            self._watch = self._loop.call_later(self._silence_s / 3, self._check_silence)
        return number, inbox

    def end(self, number: int) -> None:
        self._inboxes.pop(number, None)

    def send(self, frame: Frame) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(frame))

    @property
    def socket(self) -> socket.socket | None:
        """The socket, to set options on. None before the connection is made."""
        sock: socket.socket | None = None if self._transport is None else self._transport.get_extra_info("socket")
        return sock

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._watch is not None:
            self._watch.cancel()
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionResetError("hung up before the greeting"))
            # Nobody may be waiting any more (the dial timed out): the error is then of no interest.
            self.greeted.exception()
        self._on_lost()
        for inbox in self._inboxes.values():
            inbox.put_nowait(None)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            for frame in self._parser.feed(data):
                self._receive(frame)
        except (FrameError, KeyError, TypeError) as error:
            log.warning("channel_agent_broken", extra={"error": type(error).__name__})
            self.hang_up()

    def _receive(self, frame: Frame) -> None:
        if "id" in frame:
            inbox = self._inboxes.get(int(frame["id"]))
            if inbox is not None:
                inbox.put_nowait(frame)
        elif frame["t"] == "ready" and not self.greeted.done():
            self.greeted.set_result(None)
        elif frame["t"] == "refused":
            log.warning("channel_refused", extra={"reason": frame.get("reason")})
            self.hang_up()

    def _check_silence(self) -> None:
        """Pings while a conversation is open, and hangs up on an agent that has been silent for too long."""
        self._watch = None
        if self.lost or not self._inboxes:
            return
        if self._loop.time() - self._heard_at > self._silence_s:
            log.warning("channel_silent", extra={"silence_s": self._silence_s})
            self.hang_up()
            return
        self.send({"t": "ping"})
        self._watch = self._loop.call_later(self._silence_s / 3, self._check_silence)


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
            await on_delta(_delta(frame))
        elif kind == "steps":
            await _commit(line, number, frame, on_steps)
        elif kind == "ask":
            call = asyncio.create_task(_answer(line, number, frame, None if len(calls) >= CALLS_MAX else on_call))
            calls.add(call)
            call.add_done_callback(calls.discard)
        elif kind == "busy":
            raise FleetBusy(f"agent {agent.agent_id} is {frame['reason']}", retry_after_s=1.0)


def _delta(frame: Frame) -> Delta:
    """Agents of earlier versions say texts alone."""
    text: str = frame["text"]
    more = frame.get("more")
    if not more:
        return text
    return {**more, "content": text} if text else dict(more)


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
