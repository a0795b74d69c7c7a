"""The agent's end: takes turns from dispatchers, runs them, sends back what they say."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import logging
from collections.abc import Sequence
from typing import cast

import orjson
from pydantic import ValidationError

from ossa.channel.control import ControlDesk
from ossa.channel.frames import (
    ALL_FIELDS,
    ANSWER_IN_OUTCOME,
    PROTOCOL_VERSION,
    Frame,
    FrameError,
    FrameParser,
    encode,
    encoded_list,
)
from ossa.contracts.errors import OssaError, error_types
from ossa.contracts.origin import Origin, set_origin
from ossa.contracts.task import Delta, ErrorInfo, Outcome, Step, TaskStatus, Turn, ending_bodies
from ossa.contracts.turn import TurnCall, TurnCallResult, TurnResult, TurnRunner

log = logging.getLogger(__name__)

HELLO_TIMEOUT_S = 10.0
WRITE_HIGH_WATER = 1 << 20


class ChannelServer:
    """Listens on `host` (a free port) and runs at most `slots` turns at once.

    Without a runner (a standby agent) or while draining it answers every turn with busy.
    A dispatcher that hangs up has its turns cancelled: it no longer wants them, or it is dead.
    With a `desk` its supervisor may call, on the same port.
    """

    def __init__(
        self, *, token: str, host: str = "127.0.0.1", agent_id: str = "", desk: ControlDesk | None = None
    ) -> None:
        self._token = token
        self._desk = desk
        self._host = host
        self._runner: TurnRunner | None = None
        self._slots = 0
        self._draining = False
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.agent_id = agent_id
        self.running = 0
        self.turns_total = 0

    async def start(self) -> str:
        """Begin to listen; returns `host:port`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self, self._token, self._desk), self._host, 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"{self._host}:{port}"

    def set_runner(self, runner: TurnRunner, *, slots: int, agent_id: str) -> None:
        """Make a standby an agent, or give an agent another manifest. Turns under way keep the old runner."""
        self._runner, self._slots, self.agent_id = runner, slots, agent_id

    @property
    def draining(self) -> bool:
        return self._draining

    async def drain(self) -> None:
        """Take no more turns; returns when the running ones have ended."""
        self._draining = True
        await self._idle.wait()

    async def close(self) -> None:
        """Stop listening and cancel what runs."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.hang_up()

    def refusal(self) -> str | None:
        """Why a turn cannot be taken now; None when it can."""
        if self._runner is None:
            return "standby"
        if self._draining:
            return "draining"
        if self.running >= self._slots:
            return "full"
        return None

    def joined(self, connection: _Connection) -> None:
        self._connections.add(connection)

    def left(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def take(self) -> TurnRunner:
        """Take a slot that `refusal` has said is free; give it back with `release`."""
        self.running += 1
        self.turns_total += 1
        self._idle.clear()
        return cast(TurnRunner, self._runner)

    def release(self) -> None:
        self.running -= 1
        if self.running == 0:
            self._idle.set()


class _Connection(asyncio.Protocol):
    """One dispatcher's connection, or the supervisor's."""

    def __init__(self, server: ChannelServer, token: str, desk: ControlDesk | None) -> None:
        self._server = server
        self._token = token
        self._desk = desk
        self._calls: set[asyncio.Task[None]] = set()
        self._parser = FrameParser()
        self._transport: asyncio.Transport | None = None
        self._greeted = self._in_charge = self._answer_in_outcome = False
        self.all_fields = False
        self._turns: dict[int, asyncio.Task[None]] = {}
        self._sinks: dict[int, _Sink] = {}
        self._writable = asyncio.Event()
        self._writable.set()
        self._hello_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._server.joined(self)
        self._hello_timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT_S, self._hello_missing)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.left(self)
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self._writable.set()
        for task in (*self._turns.values(), *self._calls):
            task.cancel()
        if self._desk is not None:
            self._desk.end(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._parser.feed(data):
                self._receive(frame)
        except (FrameError, KeyError, TypeError, ValidationError) as error:
            log.warning("channel_peer_broken", extra={"agent": self._server.agent_id, "error": type(error).__name__})
            self.hang_up()

    def send(self, frame: Frame) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(frame))

    async def writable(self) -> None:
        """Returns when the dispatcher has read enough of what was sent."""
        await self._writable.wait()

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _hello_missing(self) -> None:
        if not self._greeted:
            self.hang_up()

    def _receive(self, frame: Frame) -> None:
        kind = frame["t"]
        if not self._greeted:
            self._greet(frame)
        elif kind == "turn":
            self._take(int(frame["id"]), Turn.model_validate(frame["turn"]))
        elif kind in ("ack", "nack", "answer"):
            sink = self._sinks.get(int(frame["id"]))
            if sink is not None:
                sink.answered(frame)
        elif kind == "cancel":
            task = self._turns.get(int(frame["id"]))
            if task is not None:
                task.cancel()
        elif kind == "ping":
            self.send({"t": "pong"})
        elif kind == "call":
            self._call(frame)

    def _greet(self, frame: Frame) -> None:
        token = str(frame.get("token", ""))
        if frame["t"] != "hello" or frame.get("v") != PROTOCOL_VERSION:
            self.send({"t": "refused", "reason": f"expected hello of protocol version {PROTOCOL_VERSION}"})
            self.hang_up()
        elif self._desk is not None and self._desk.knows(token):
            self._greeted = self._in_charge = True
            self._desk.begin(self, self._transport.get_extra_info("socket") if self._transport else None)
            self.send({"t": "ready", "agent_id": self._server.agent_id})
        elif not hmac.compare_digest(token.encode(), self._token.encode()):
            self.send({"t": "refused", "reason": "wrong channel token"})
            self.hang_up()
        else:
            self._greeted = True
            self._answer_in_outcome = ANSWER_IN_OUTCOME in frame.get("takes", ())
            self.all_fields = ALL_FIELDS in frame.get("takes", ())
            self.send({"t": "ready", "agent_id": self._server.agent_id})

    def _take(self, number: int, turn: Turn) -> None:
        refusal = self._server.refusal()
        if refusal is not None:
            self.send({"t": "busy", "id": number, "reason": refusal})
            return
        sink = _Sink(self, number)
        self._sinks[number] = sink
        # The slot is taken here, not when the task first runs: two frames in one packet cannot share it.
        runner = self._server.take()
        task = asyncio.ensure_future(self._run(number, turn, sink, runner))
        self._turns[number] = task
        task.add_done_callback(lambda _: self._ended(number))

    def _call(self, frame: Frame) -> None:
        if not self._in_charge or self._desk is None:
            raise FrameError("a dispatcher may not call")
        task = asyncio.ensure_future(self._answer(self._desk, frame))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _answer(self, desk: ControlDesk, frame: Frame) -> None:
        self.send({**await desk.run(str(frame["method"]), frame.get("body")), "id": frame["id"]})

    def _ended(self, number: int) -> None:
        self._turns.pop(number, None)
        self._sinks.pop(number, None)
        self._server.release()

    async def _run(self, number: int, turn: Turn, sink: _Sink, runner: TurnRunner) -> None:
        set_origin((turn.request.origin or Origin(tenant=turn.tenant)).by(f"agent/{self._server.agent_id}"))
        try:
            result = await runner.run(turn, sink)
        except Exception as error:
            log.exception("turn_crashed", extra={"agent": self._server.agent_id, "task_id": turn.task_id})
            result = _crashed(error)
        if not self.all_fields:
            result = result.without_details()
        if self._answer_in_outcome:
            bodies = ending_bodies(result.steps, result.outcome)
        else:
            bodies = [step.json_bytes() for step in result.steps]
        done = {"outcome": orjson.Fragment(result.outcome.json_bytes()), "steps": encoded_list(bodies)}
        self.send({"t": "done", "id": number, "sizes": [len(body) for body in bodies], "result": done})


class _Sink:
    """The `TurnSink` of one turn on this connection."""

    def __init__(self, connection: _Connection, number: int) -> None:
        self._connection = connection
        self._number = number
        self._seq = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[TurnCallResult | None]] = {}

    async def delta(self, delta: Delta) -> None:
        frame: Frame = {"t": "delta", "id": self._number}
        if isinstance(delta, str):
            frame["text"] = delta
        else:
            frame["text"] = delta.get("content") or ""
            if self._connection.all_fields:
                frame["more"] = {name: value for name, value in delta.items() if name != "content"}
            elif not frame["text"]:
                return
        self._connection.send(frame)
        await self._connection.writable()

    async def commit(self, steps: Sequence[Step]) -> None:
        if not self._connection.all_fields:
            steps = [step.without_details() for step in steps]
        bodies = [step.json_bytes() for step in steps]
        await self._send_and_wait(
            {"t": "steps", "sizes": [len(body) for body in bodies], "steps": encoded_list(bodies)}
        )

    async def call(self, call: TurnCall) -> TurnCallResult:
        return await self._send_and_wait({"t": "ask", "ask": orjson.Fragment(call.json_bytes())}) or TurnCallResult()

    async def _send_and_wait(self, frame: Frame) -> TurnCallResult | None:
        """Sends a frame and waits for its answer."""
        seq = next(self._seq)
        answer: asyncio.Future[TurnCallResult | None] = asyncio.get_running_loop().create_future()
        self._waiting[seq] = answer
        self._connection.send({"id": self._number, "seq": seq, **frame})  # steps stay last
        try:
            return await answer
        finally:
            self._waiting.pop(seq, None)

    def answered(self, frame: Frame) -> None:
        answer = self._waiting.get(int(frame["seq"]))
        if answer is None or answer.done():
            return
        if frame["t"] == "ack":
            answer.set_result(None)
        elif frame["t"] == "answer":
            answer.set_result(TurnCallResult.model_validate(frame["answer"]))
        else:
            error = error_types().get(str(frame.get("code")), OssaError)
            message = str(frame.get("message", ""))
            answer.set_exception(error(message, param=frame.get("param"), retry_after_s=frame.get("retry_after_s")))


def _crashed(error: Exception) -> TurnResult:
    code = error.code if isinstance(error, OssaError) else "internal"
    message = error.message if isinstance(error, OssaError) else f"the agent failed: {type(error).__name__}"
    outcome = Outcome(status=TaskStatus.FAILED, error=ErrorInfo(code=code, message=message))
    return TurnResult(outcome=outcome)
