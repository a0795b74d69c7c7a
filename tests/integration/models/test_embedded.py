"""The embedded model, for real: SmolLM2 under llama.cpp's server."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from ossa.agent import RunnerFactory
from ossa.contracts.agent_spec import AgentSpec, ToolRef
from ossa.contracts.configuration import Models
from ossa.contracts.errors import ModelFailed, NotReady
from ossa.contracts.model import ModelReply, ModelRequest
from ossa.contracts.task import Assignment, TaskRequest, Turn
from ossa.embedded import model as module
from ossa.embedded.model import MODEL_NAME, EmbeddedModel, ServerRecord
from ossa.embedded.process import lives
from ossa.models.client import OpenAIClient
from ossa.models.tiers import with_embedded
from ossa.testing.agent import RecordingSink

MODELS = Models(embedded_threads=2, embedded_context=2048, embedded_slots=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture(scope="module")
def model(home: Path) -> Iterator[EmbeddedModel]:
    found = EmbeddedModel(home, MODELS)
    yield found
    found.stop()


def record(home: Path) -> ServerRecord:
    return ServerRecord.model_validate_json((home / "run/model.json").read_bytes())


def request(text: str, **parameters: object) -> ModelRequest:
    messages = [{"role": "user", "content": text}]
    return ModelRequest(model=MODEL_NAME, messages=messages, parameters={"max_tokens": 24, **parameters})


async def test_it_answers_and_counts(model: EmbeddedModel) -> None:
    client = OpenAIClient(model.start())
    reply = await client.complete(request("What is the capital of France?", temperature=0))
    await client.close()
    assert "Paris" in reply.message["content"]
    assert reply.model == MODEL_NAME
    assert reply.usage.prompt_tokens > 5
    assert 0 < reply.usage.completion_tokens <= 24
    assert reply.usage.cost_usd == 0


async def test_it_streams(model: EmbeddedModel) -> None:
    client = OpenAIClient(model.start())
    pieces = [piece async for piece in client.stream(request("Count to five."))]
    await client.close()
    assert len(pieces) > 3
    assert isinstance(pieces[-1], ModelReply)
    assert "".join(str(piece) for piece in pieces[:-1]) == pieces[-1].message["content"]
    assert pieces[-1].usage.completion_tokens > 0


async def test_it_takes_a_conversation_with_tool_results(model: EmbeddedModel) -> None:
    client = OpenAIClient(model.start())
    call = {"id": "c1", "type": "function", "function": {"name": "calculator", "arguments": '{"expression":"12*7"}'}}
    messages = [
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "What is 12*7?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "84"},
    ]
    tool = {"type": "function", "function": {"name": "calculator", "parameters": {"type": "object", "properties": {}}}}
    parameters = {"max_tokens": 24, "temperature": 0, "tools": [tool]}
    reply = await client.complete(ModelRequest(model=MODEL_NAME, messages=messages, parameters=parameters))
    await client.close()
    assert "84" in reply.message["content"]


async def test_an_agent_on_it_runs_a_tool_it_is_forced_to(model: EmbeddedModel) -> None:
    runner = RunnerFactory(with_embedded(Models(), model.start()))(
        Assignment(
            agent_id="foundation-001",
            pool="foundation",
            spec=AgentSpec(name="sums", dialect="ossa/v0.5.0", tools=(ToolRef(name="calculator"),)),
        )
    )
    asked = TaskRequest(
        messages=[{"role": "user", "content": "What is 12*7?"}],
        parameters={"tool_choice": {"type": "function", "function": {"name": "calculator"}}, "max_tokens": 32},
    )
    sink = RecordingSink()
    result = await runner.run(Turn(task_id="task_1", tenant="acme", request=asked), sink)
    assert result.outcome.error is None
    assert [step.kind for step in sink.steps] == ["model", "tool_call", "tool_result"]
    assert sink.steps[2].payload["content"] == "84"
    assert result.outcome.message is not None
    assert result.outcome.message["content"]


async def test_it_refuses_who_has_not_the_key(model: EmbeddedModel) -> None:
    client = OpenAIClient(model.start().model_copy(update={"api_key": SecretStr("")}))
    with pytest.raises(ModelFailed, match="401"):
        await client.complete(request("hi"))
    await client.close()


def test_its_key_is_readable_by_its_owner_alone_and_in_no_process_list(model: EmbeddedModel, home: Path) -> None:
    model.start()
    assert stat.S_IMODE((home / "run/model.json").stat().st_mode) == 0o600
    found = record(home)
    assert found.key not in " ".join(psutil.Process(found.pid).cmdline())


def test_a_living_server_is_adopted(model: EmbeddedModel, home: Path) -> None:
    first = model.start()
    pid = record(home).pid
    assert model.start() == first
    assert EmbeddedModel(home, MODELS).start() == first
    assert record(home).pid == pid
    assert model.running


def test_it_outlives_the_session_of_who_started_it(model: EmbeddedModel, home: Path) -> None:
    model.start()
    assert os.getsid(record(home).pid) != os.getsid(0)


def test_a_killed_server_comes_back_at_its_address(model: EmbeddedModel, home: Path) -> None:
    before = model.start()
    pid = record(home).pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not lives(pid))  # its port is closed a little before the process has ended
    assert not model.running
    assert model.ensure() == before
    assert record(home).pid != pid
    assert model.running


def test_a_server_whose_port_was_taken_comes_back_at_another(model: EmbeddedModel, home: Path) -> None:
    before = model.start()
    pid = record(home).pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not lives(pid))
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait_for(lambda: bound(taken, record(home).port))
        taken.listen()
        after = model.ensure()
    assert after.base_url != before.base_url
    assert model.running


def test_a_server_that_hangs_is_replaced_after_some_patience(
    model: EmbeddedModel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.start()
    monkeypatch.setattr(module, "HEALTH_TIMEOUT_S", 0.5)
    monkeypatch.setattr(EmbeddedModel, "stop_signals", ((signal.SIGTERM, 0.5), (signal.SIGKILL, 10.0)))
    pid = record(home).pid
    os.kill(pid, signal.SIGSTOP)
    model.ensure()
    assert record(home).pid == pid
    model.ensure()
    model.ensure()
    assert record(home).pid != pid
    assert model.running


def test_other_settings_mean_another_server(model: EmbeddedModel, home: Path) -> None:
    model.start()
    pid = record(home).pid
    other = EmbeddedModel(home, MODELS.model_copy(update={"embedded_slots": 1}))
    other.start()
    assert record(home).pid != pid


def test_stopping_ends_the_process_and_stopping_again_does_nothing(model: EmbeddedModel, home: Path) -> None:
    model.start()
    pid = record(home).pid
    EmbeddedModel(home, MODELS).stop()
    wait_for(lambda: not lives(pid))
    assert not model.running
    model.stop()


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model")
    monkeypatch.setattr(module, "model_file", lambda: bad)
    with pytest.raises(NotReady, match="did not start"):
        EmbeddedModel(tmp_path, MODELS).start()


def bound(taken: socket.socket, port: int) -> bool:
    try:
        taken.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def wait_for(condition: object, timeout_s: float = 10) -> None:
    ends = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < ends
        time.sleep(0.02)
