"""What a dispatcher and an agent promise each other over the turn channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import orjson
import pytest

from ossa.channel import ChannelLink, ChannelServer
from ossa.channel.frames import ALL_FIELDS, ANSWER_IN_OUTCOME, PROTOCOL_VERSION, FrameError, FrameParser, encode
from ossa.contracts.errors import AgentLost, Fenced, FleetBusy, NotFound, OssaError
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Delta, Outcome, Step, TaskRequest, TaskStatus, Turn, Usage
from ossa.contracts.turn import TurnCall, TurnCallResult, TurnResult, TurnSink
from ossa.contracts.value import Value
from ossa.testing.agent import RecordingSink
from tests.support import fleet

DEADLINE_S = 5


def step(seq: int) -> Step:
    return Step(seq=seq, kind="tool_result", agent_id="a-000", payload={"n": seq}, at=datetime.now(UTC))


def turn(text: str = "hello", *, stream: bool = False) -> Turn:
    request = TaskRequest(messages=[{"role": "user", "content": text}])
    return Turn(task_id="task_1", tenant="t", request=request, stream=stream)


def info(address: str, incarnation: str = "i1") -> AgentInfo:
    return fleet.agent("a-000", incarnation=incarnation, address=address)


class Agent:
    """A runner whose turns do what their first message says."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.fenced = asyncio.Event()

    async def run(self, turn: Turn, sink: TurnSink) -> TurnResult:
        self.started.set()
        text = turn.request.messages[0]["content"]
        if text == "wait":
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if text == "crash":
            raise RuntimeError("secret detail")
        if text.startswith("steps"):
            try:
                await sink.commit([step(0), step(1).model_copy(update={"payload": {"text": text}})])
            except Fenced:
                self.fenced.set()
                raise
        if text == "ask":
            try:
                text = (await sink.call(TurnCall(original="vx:abcdefghij"))).original
            except OssaError as error:
                text = f"{error.code}: {error.message}"
        if text == "ask, and go on":
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await sink.call(TurnCall(original="vx:abcdefghij"))
        for piece in ("one ", "two") if turn.stream else ():
            await sink.delta(piece)
        outcome = Outcome(
            status=TaskStatus.SUCCEEDED, message={"role": "assistant", "content": text}, usage=Usage(prompt_tokens=3)
        )
        return TurnResult(outcome=outcome, steps=(step(2),))


class Owner:
    """Records what a turn says."""

    def __init__(self) -> None:
        self.text = ""
        self.deltas: list[Delta] = []
        self.steps: list[Step] = []

    async def on_delta(self, delta: Delta) -> None:
        self.deltas.append(delta)
        self.text += delta if isinstance(delta, str) else delta.get("content", "")

    async def on_steps(self, steps: Sequence[Step]) -> None:
        self.steps += steps


@pytest.fixture
async def agent() -> Agent:
    return Agent()


@pytest.fixture
async def server(agent: Agent) -> AsyncIterator[ChannelServer]:
    server = ChannelServer(token="token")
    server.set_runner(agent, slots=2, agent_id="a-000")
    yield server
    await server.close()


@pytest.fixture
async def address(server: ChannelServer) -> str:
    return await server.start()


@pytest.fixture
async def link() -> AsyncIterator[ChannelLink]:
    link = ChannelLink(lambda: "token")
    yield link
    await link.close()


async def run(link: ChannelLink, address: str, turn: Turn, owner: Owner | None = None) -> TurnResult:
    owner = owner or Owner()
    async with asyncio.timeout(DEADLINE_S):
        return await link.run(info(address), turn, on_delta=owner.on_delta, on_steps=owner.on_steps)


async def test_a_turn_comes_back_whole(link: ChannelLink, address: str) -> None:
    result = await run(link, address, turn("grüß 世界"))
    assert result.outcome.message == {"role": "assistant", "content": "grüß 世界"}
    assert result.outcome.usage.prompt_tokens == 3
    assert [s.seq for s in result.steps] == [2]


async def test_deltas_arrive_in_order_before_the_end(link: ChannelLink, address: str) -> None:
    owner = Owner()
    await run(link, address, turn("x", stream=True), owner)
    assert owner.text == "one two"


async def test_a_commit_returns_after_the_owner_has_written_it(link: ChannelLink, address: str) -> None:
    owner = Owner()
    await run(link, address, turn("steps"), owner)
    assert [s.seq for s in owner.steps] == [0, 1]


async def test_the_owner_can_store_a_step_as_the_agent_encoded_it(
    link: ChannelLink, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Owner()
    result = await run(link, address, turn('steps and "]}" {"n":1},{"n":2} 世界'), owner)
    steps = [*owner.steps, *result.steps]
    written = [Step.model_validate(one.model_dump()).json_bytes() for one in steps]
    monkeypatch.setattr(Value, "json_bytes", None)  # from here on nothing can be encoded
    assert [one.json_bytes() for one in steps] == written


async def test_a_request_goes_out_as_it_was_encoded_for_the_journal(link: ChannelLink, address: str) -> None:
    asked = turn("hello")
    asked.request.keep_encoded(asked.request.json_bytes().replace(b"hello", b"olleh"))
    result = await run(link, address, asked)
    assert result.outcome.message is not None
    assert result.outcome.message["content"] == "olleh"


ANSWER = {"role": "assistant", "content": "the answer"}


class Answering:
    """Its last step holds its answer, as a model's does."""

    async def run(self, turn: Turn, sink: TurnSink) -> TurnResult:
        outcome = Outcome(status=TaskStatus.SUCCEEDED, message=ANSWER)
        payload = {"message": ANSWER, "finish_reason": "stop"}
        last = step(3).model_copy(update={"kind": "model", "payload": payload})
        return TurnResult(outcome=outcome, steps=(step(2), last))


@pytest.mark.parametrize(("takes", "times"), [([ANSWER_IN_OUTCOME], 1), ([], 2), (None, 2)])
async def test_an_answer_is_sent_once_to_whoever_takes_that(
    server: ChannelServer, address: str, takes: list[str] | None, times: int
) -> None:
    server.set_runner(Answering(), slots=1, agent_id="a-000")
    reader, writer = await asyncio.open_connection(*address.split(":"))
    hello = {"t": "hello", "v": PROTOCOL_VERSION, "token": "token"}
    writer.write(encode(hello if takes is None else {**hello, "takes": takes}))
    writer.write(encode({"t": "turn", "id": 1, "turn": turn().model_dump(mode="json")}))
    data, parser, frames = b"", FrameParser(), []
    async with asyncio.timeout(DEADLINE_S):
        while not any(frame["t"] == "done" for frame in frames):
            data += (chunk := await reader.read(1 << 16))
            frames += parser.feed(chunk)
    writer.close()
    assert data.count(b"the answer") == times


async def test_a_result_is_whole_whichever_way_it_was_sent(
    link: ChannelLink, server: ChannelServer, address: str
) -> None:
    server.set_runner(Answering(), slots=1, agent_id="a-000")
    result = await run(link, address, turn())
    assert result.outcome.message == ANSWER
    assert [one.payload for one in result.steps] == [{"n": 2}, {"message": ANSWER, "finish_reason": "stop"}]
    assert [b"the answer" in one.json_bytes() for one in result.steps] == [False, True]


SAID: list[Delta] = [{"reasoning": "Hm"}, {"content": "Yes", "logprobs": {"content": [1]}}, "."]


class Reasoning:
    """Says more than text, and counts more than tokens."""

    async def run(self, turn: Turn, sink: TurnSink) -> TurnResult:
        for delta in SAID:
            await sink.delta(delta)
        usage = Usage(completion_tokens=5, reasoning_tokens=3, audio_tokens=1)
        await sink.commit([step(1).model_copy(update={"usage": usage})])
        outcome = Outcome(status=TaskStatus.SUCCEEDED, message=ANSWER, usage=usage, logprobs={"content": [1]})
        return TurnResult(outcome=outcome, steps=(step(2).model_copy(update={"usage": usage}),))


async def test_all_that_a_model_says_comes_over_the_channel(
    link: ChannelLink, server: ChannelServer, address: str
) -> None:
    server.set_runner(Reasoning(), slots=1, agent_id="a-000")
    owner = Owner()
    result = await run(link, address, turn(), owner)
    assert owner.deltas == SAID
    assert result.outcome.logprobs == {"content": [1]}
    usages = (result.outcome.usage, result.steps[0].usage, owner.steps[0].usage)
    assert [(usage.reasoning_tokens, usage.audio_tokens) for usage in usages] == [(3, 1)] * 3


@pytest.mark.parametrize("takes", [[ALL_FIELDS], []])
async def test_a_dispatcher_of_an_earlier_version_is_told_nothing_that_it_refuses(
    server: ChannelServer, address: str, takes: list[str]
) -> None:
    server.set_runner(Reasoning(), slots=1, agent_id="a-000")
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(encode({"t": "hello", "v": PROTOCOL_VERSION, "token": "token", "takes": takes}))
    writer.write(encode({"t": "turn", "id": 1, "turn": turn().model_dump(mode="json")}))
    parser, frames = FrameParser(), []
    async with asyncio.timeout(DEADLINE_S):
        while not any(frame["t"] == "done" for frame in frames):
            for frame in parser.feed(await reader.read(1 << 16)):
                frames.append(frame)
                if frame["t"] == "steps":
                    writer.write(encode({"t": "ack", "id": 1, "seq": frame["seq"]}))
    writer.close()
    told = orjson.dumps([{**frame, "encoded": None} for frame in frames])
    assert [word in told for word in (b"reasoning", b"logprobs", b"audio_tokens")] == [bool(takes)] * 3
    assert "".join(frame["text"] for frame in frames if frame["t"] == "delta") == "Yes."


async def test_an_agent_of_an_earlier_version_is_understood() -> None:
    """It sends whole results, and no sizes."""

    async def earlier(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode({"t": "ready", "agent_id": "a-000"}))
        parser, frames = FrameParser(), []
        while not any(frame["t"] == "turn" for frame in frames):
            frames += parser.feed(await reader.read(1 << 16))
        Turn.model_validate(frames[-1]["turn"])
        result = await Answering().run(turn(), RecordingSink())
        writer.write(
            encode({"t": "steps", "steps": [step(0).model_dump(mode="json")], "id": frames[-1]["id"], "seq": 1})
        )
        writer.write(encode({"t": "done", "id": frames[-1]["id"], "result": result.model_dump(mode="json")}))
        await reader.read()

    agent = await asyncio.start_server(earlier, "127.0.0.1", 0)
    link, owner = ChannelLink(lambda: "token"), Owner()
    result = await run(link, f"127.0.0.1:{agent.sockets[0].getsockname()[1]}", turn(), owner)
    assert [one.seq for one in (*owner.steps, *result.steps)] == [0, 2, 3]
    assert result.steps[-1].payload["message"] == ANSWER
    await link.close()
    agent.close()


async def test_a_turn_asks_its_owner_and_is_answered(link: ChannelLink, address: str) -> None:
    async def answer(ask: TurnCall) -> TurnCallResult:
        return TurnCallResult(original=f"of {ask.original}")

    owner = Owner()
    async with asyncio.timeout(DEADLINE_S):
        result = await link.run(
            info(address), turn("ask"), on_delta=owner.on_delta, on_steps=owner.on_steps, on_call=answer
        )
    assert result.outcome.message is not None
    assert result.outcome.message["content"] == "of vx:abcdefghij"


@pytest.mark.parametrize("why", ["nobody", "refused", "broken"])
async def test_what_the_owner_cannot_answer_is_said_and_the_turn_goes_on(
    link: ChannelLink, address: str, why: str
) -> None:
    async def answer(ask: TurnCall) -> TurnCallResult:
        if why == "refused":
            raise NotFound("it is not kept")
        raise RuntimeError("secret detail")

    owner = Owner()
    async with asyncio.timeout(DEADLINE_S):
        result = await link.run(
            info(address),
            turn("ask"),
            on_delta=owner.on_delta,
            on_steps=owner.on_steps,
            on_call=None if why == "nobody" else answer,
        )
    assert result.outcome.message is not None
    said = result.outcome.message["content"]
    assert said.split(":")[0] == {"nobody": "not_ready", "refused": "not_found", "broken": "internal"}[why]
    assert "secret" not in said
    assert (await run(link, address, turn("hi"))).outcome.status is TaskStatus.SUCCEEDED


async def test_what_a_turn_says_does_not_wait_for_what_it_asked(link: ChannelLink, address: str) -> None:
    """A turn that gave up waiting for an answer streams and ends while the owner still looks for it."""
    asked, ended = asyncio.Event(), asyncio.Event()

    async def answer(ask: TurnCall) -> TurnCallResult:
        asked.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return TurnCallResult()

    owner = Owner()
    async with asyncio.timeout(DEADLINE_S):
        await link.run(
            info(address),
            turn("ask, and go on", stream=True),
            on_delta=owner.on_delta,
            on_steps=owner.on_steps,
            on_call=answer,
        )
        assert asked.is_set()
        assert owner.text == "one two"
        await ended.wait()


async def test_a_fenced_owner_stops_the_turn(link: ChannelLink, address: str, agent: Agent) -> None:
    async def fenced(_: Sequence[Step]) -> None:
        raise Fenced("another owner")

    with pytest.raises(Fenced):
        async with asyncio.timeout(DEADLINE_S):
            await link.run(info(address), turn("steps"), on_delta=Owner().on_delta, on_steps=fenced)
    async with asyncio.timeout(DEADLINE_S):
        await agent.fenced.wait()


async def test_many_turns_share_one_connection_and_do_not_mix(link: ChannelLink, server: ChannelServer) -> None:
    server.set_runner(Agent(), slots=50, agent_id="a-000")
    address = await server.start()
    results = await asyncio.gather(*(run(link, address, turn(f"m{i}")) for i in range(50)))
    assert [r.outcome.message["content"] for r in results if r.outcome.message] == [f"m{i}" for i in range(50)]
    assert len(server._connections) == 1


async def test_a_full_agent_says_busy(link: ChannelLink, address: str, agent: Agent) -> None:
    waiting = [asyncio.ensure_future(run(link, address, turn("wait"))) for _ in range(2)]
    async with asyncio.timeout(DEADLINE_S):
        await agent.started.wait()
    with pytest.raises(FleetBusy):
        await run(link, address, turn())
    agent.go.set()
    assert [r.outcome.status for r in await asyncio.gather(*waiting)] == [TaskStatus.SUCCEEDED] * 2


async def test_a_standby_says_busy(link: ChannelLink) -> None:
    server = ChannelServer(token="token")
    address = await server.start()
    with pytest.raises(FleetBusy, match="standby"):
        await run(link, address, turn())
    await server.close()


async def test_draining_lets_the_running_turn_finish_and_takes_no_more(
    link: ChannelLink, address: str, agent: Agent, server: ChannelServer
) -> None:
    running = asyncio.ensure_future(run(link, address, turn("wait")))
    async with asyncio.timeout(DEADLINE_S):
        await agent.started.wait()
    drained = asyncio.ensure_future(server.drain())
    with pytest.raises(FleetBusy, match="draining"):
        await run(link, address, turn())
    assert not drained.done()
    agent.go.set()
    assert (await running).outcome.status is TaskStatus.SUCCEEDED
    async with asyncio.timeout(DEADLINE_S):
        await drained


async def test_cancelling_the_owner_cancels_the_turn_and_frees_the_slot(
    link: ChannelLink, address: str, agent: Agent, server: ChannelServer
) -> None:
    running = asyncio.ensure_future(run(link, address, turn("wait")))
    async with asyncio.timeout(DEADLINE_S):
        await agent.started.wait()
        running.cancel()
        await agent.cancelled.wait()
        await server.drain()
    assert server.running == 0


async def test_an_owner_that_hangs_up_has_its_turns_cancelled(link: ChannelLink, address: str, agent: Agent) -> None:
    running = asyncio.ensure_future(run(link, address, turn("wait")))
    async with asyncio.timeout(DEADLINE_S):
        await agent.started.wait()
        await link.close()
        await agent.cancelled.wait()
    with pytest.raises(AgentLost):
        await running


async def test_a_dead_agent_is_noticed_at_once(
    link: ChannelLink, address: str, agent: Agent, server: ChannelServer
) -> None:
    running = asyncio.ensure_future(run(link, address, turn("wait")))
    async with asyncio.timeout(DEADLINE_S):
        await agent.started.wait()
    await server.close()
    with pytest.raises(AgentLost):
        await running
    with pytest.raises(AgentLost):
        await run(link, address, turn())


async def test_a_silent_agent_is_given_up() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode({"t": "ready"}))
        await reader.read()

    mute_server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = mute_server.sockets[0].getsockname()[1]
    link = ChannelLink(lambda: "token", silence_s=0.2)
    with pytest.raises(AgentLost):
        await run(link, f"127.0.0.1:{port}", turn())
    await link.close()
    mute_server.close()


async def test_a_wrong_token_is_refused(address: str) -> None:
    link = ChannelLink(lambda: "guess")
    with pytest.raises(AgentLost):
        await run(link, address, turn())
    await link.close()


async def test_a_crash_in_the_runner_is_a_failed_outcome_without_its_details(link: ChannelLink, address: str) -> None:
    result = await run(link, address, turn("crash"))
    assert result.outcome.status is TaskStatus.FAILED
    assert result.outcome.error is not None
    assert "secret detail" not in result.outcome.error.message


async def test_nonsense_on_the_wire_closes_that_connection_alone(link: ChannelLink, address: str) -> None:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x00\x00\x00\x05hello")
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    assert (await run(link, address, turn())).outcome.status is TaskStatus.SUCCEEDED


def test_frames_survive_any_cut() -> None:
    data = encode({"t": "a", "n": 1}) + encode({"t": "b", "text": "ü" * 300})
    for cut in range(0, len(data), 7):
        parser = FrameParser()
        frames = [*parser.feed(data[:cut]), *parser.feed(data[cut:])]
        assert [f["t"] for f in frames] == ["a", "b"]


def test_sizes_that_do_not_fit_the_steps_are_an_error() -> None:
    for sizes in ([9], [7, 7], [-1], ["7"]):
        with pytest.raises((FrameError, TypeError)):
            list(FrameParser().feed(encode({"t": "steps", "sizes": sizes, "steps": [{"n": 1}]})))


def test_a_frame_over_the_bound_is_an_error() -> None:
    with pytest.raises(FrameError):
        list(FrameParser(max_frame_bytes=10).feed(encode({"t": "a", "text": "x" * 20})))
