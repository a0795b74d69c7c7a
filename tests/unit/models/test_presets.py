"""What endpoints take: a table of presets, and what is learned where none is set.

Each shape names where it is from. None of their words is needed to be exact: what is tested is which field is meant.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import ValidationError

from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import ModelRejected
from ossa.contracts.model import ModelReply, ModelRequest
from ossa.contracts.task import Usage
from ossa.models.client import OpenAIClient, surely_unbilled
from ossa.models.dialect import PRESETS, Dialect, preset_of
from ossa.models.failures import read_error

USER = {"role": "user", "content": "hi"}
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"$schema": {"type": "string"}, "x": {"type": "object", "additionalProperties": False}},
            "additionalProperties": False,
        },
    },
}
GOOD = {"choices": [{"message": {"content": "Fine."}, "finish_reason": "stop"}]}


def dialect(preset: str | None = None, host: str = "h", **changes: Any) -> Dialect:
    endpoint = Endpoint(**{"base_url": f"https://{host}/v1", "model": "m", "preset": preset, **changes})
    return Dialect(endpoint, host)


def asking(*messages: dict[str, Any], **parameters: Any) -> ModelRequest:
    return ModelRequest(model="m", messages=list(messages or [USER]), parameters=parameters, timeout_s=10)


def sent(preset: str | None, *messages: dict[str, Any], stream: bool = False, **parameters: Any) -> dict[str, Any]:
    return dialect(preset).body(asking(*messages, **parameters), stream=stream)


# The presets

CAP_NAMES = {
    # platform.openai.com/docs/api-reference/chat: max_tokens is deprecated
    "openai": "max_completion_tokens",
    # openai/openai-python and BerriAI/litellm#13381: refused
    "openai-reasoning": "max_completion_tokens",
    # learn.microsoft.com/azure/ai-services/openai/how-to/reasoning
    "azure": "max_completion_tokens",
    # console.groq.com/docs/api-reference: max_tokens is deprecated
    "groq": "max_completion_tokens",
    # docs.aws.amazon.com/bedrock: its OpenAI models' examples
    "bedrock-compatible": "max_completion_tokens",
    # docs.claude.com/en/api/openai-sdk
    "anthropic-compatible": "max_tokens",
    # ai.google.dev/gemini-api/docs/openai
    "gemini": "max_tokens",
    # api-docs.deepseek.com/api/create-chat-completion
    "deepseek": "max_tokens",
    # docs.mistral.ai/api: further fields are refused with 422
    "mistral": "max_tokens",
    # github.com/ollama/ollama/blob/main/docs/openai.md: further fields are ignored
    "ollama": "max_tokens",
    # docs.vllm.ai: OpenAI-compatible server; older versions ignore the newer name
    "vllm": "max_tokens",
    # github.com/ggml-org/llama.cpp/tree/master/tools/server
    "llama.cpp": "max_tokens",
    # openrouter.ai/docs/api-reference/parameters
    "openrouter": "max_tokens",
}


def test_each_preset_is_in_the_table() -> None:
    assert {*CAP_NAMES, "generic"} == set(PRESETS)


@pytest.mark.parametrize("preset", CAP_NAMES)
@pytest.mark.parametrize("given", [{"max_tokens": 9}, {"max_completion_tokens": 9}])
def test_the_cap_goes_by_the_name_that_the_endpoint_takes(preset: str, given: dict[str, int]) -> None:
    body = sent(preset, **given)
    assert {key: body.get(key) for key in ("max_tokens", "max_completion_tokens") if key in body} == {
        CAP_NAMES[preset]: 9
    }
    assert sent(preset, max_tokens=9, max_completion_tokens=7)[CAP_NAMES[preset]] == 7


def test_without_a_preset_the_body_is_as_it_was_asked_for() -> None:
    assert sent(None, max_completion_tokens=9, made_up={"a": 1}, temperature=0.1) == {
        "max_completion_tokens": 9,
        "made_up": {"a": 1},
        "temperature": 0.1,
        "model": "m",
        "messages": [USER],
        "stream": False,
    }


@pytest.mark.parametrize("preset", [*CAP_NAMES, "generic"])
def test_what_no_preset_knows_goes_on(preset: str) -> None:
    assert sent(preset, chat_template_kwargs={"x": 1})["chat_template_kwargs"] == {"x": 1}


@pytest.mark.parametrize("preset", [*CAP_NAMES, "generic"])
def test_a_stream_asks_for_usage_where_that_is_taken(preset: str) -> None:
    # openai/openai-agents-python#442: Mistral refuses it and sends usage unasked
    assert ("stream_options" in sent(preset, stream=True)) == (preset != "mistral")
    assert "stream_options" not in sent(preset)


@pytest.mark.parametrize("name", ["temperature", "top_p", "presence_penalty", "frequency_penalty"])
def test_a_reasoning_model_is_sent_no_sampling_parameter(name: str, caplog: pytest.LogCaptureFixture) -> None:
    # openai/openai-python, gabrii/Cursor-Azure-GPT-5#33
    of_it = dialect("openai-reasoning")
    for _ in range(2):
        assert name not in of_it.body(asking(**{name: 0.2}), stream=False)
    assert [r.message for r in caplog.records] == ["model_parameter_left_out"], "it is said, and once"


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("groq", "logprobs"),  # console.groq.com/docs/openai: 400
        ("mistral", "logprobs"),  # docs.mistral.ai/api: no such field
        ("anthropic-compatible", "logprobs"),  # docs.claude.com/en/api/openai-sdk: ignored
        ("openai-reasoning", "logprobs"),
        ("groq", "logit_bias"),
    ],
)
def test_what_is_relied_on_and_not_taken_is_refused_before_it_costs(preset: str, name: str) -> None:
    with pytest.raises(ModelRejected, match=f"{name} is not supported") as raised:
        sent(preset, **{name: {"1": 2} if name == "logit_bias" else True})
    assert raised.value.param == name
    assert surely_unbilled(raised.value)
    assert name not in sent(preset, **{name: False}), "asking for none is no demand"


@pytest.mark.parametrize("preset", ["vllm", "llama.cpp"])
def test_strict_templates_get_one_system_message(preset: str) -> None:
    # ggml-org/llama.cpp#20215, vllm-project/vllm#41114
    messages = [
        {"role": "system", "content": "A"},
        USER,
        {"role": "developer", "content": [{"type": "text", "text": "B"}]},
        {"role": "system", "content": "C"},
    ]
    assert sent(preset, *messages)["messages"] == [{"role": "system", "content": "A\n\nB\n\nC"}, USER]
    assert sent("openai", *messages)["messages"] == messages
    kept = dialect(preset, one_system=False).body(asking(*messages), stream=False)["messages"]
    assert [m["role"] for m in kept] == ["system", "user", "system", "system"]


@pytest.mark.parametrize("preset", ["deepseek", "mistral", "ollama"])
def test_the_developer_role_becomes_the_system_role(preset: str) -> None:
    # deepseek: "unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`"
    assert sent(preset, {"role": "developer", "content": "A"})["messages"][0]["role"] == "system"


def test_an_answer_that_is_begun_is_asked_for_in_the_endpoints_way() -> None:
    begun = {"role": "assistant", "content": "{"}
    # docs.mistral.ai: prefix
    assert sent("mistral", USER, begun)["messages"][-1] == {**begun, "prefix": True}
    # docs.vllm.ai: extra parameters of the chat API
    body = sent("vllm", USER, begun)
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert sent("openai", USER, begun)["messages"][-1] == begun
    assert "continue_final_message" not in sent("vllm", begun, USER)


def test_keywords_that_a_schema_may_not_have_are_left_out() -> None:
    # googleapis/python-genai and google-gemini reports: Unknown name "additionalProperties"
    schema = sent("gemini", tools=[TOOL])["tools"][0]["function"]["parameters"]
    assert schema == {"type": "object", "properties": {"$schema": {"type": "string"}, "x": {"type": "object"}}}
    assert sent("openai", tools=[TOOL])["tools"] == [TOOL]


def test_mistrals_seed_has_another_name() -> None:
    body = sent("mistral", seed=7)
    assert body["random_seed"] == 7
    assert "seed" not in body


@pytest.mark.parametrize(
    ("host", "preset"),
    [
        ("api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure"),
        ("api.mistral.ai", "mistral"),
        ("bedrock-runtime.us-west-2.amazonaws.com", "bedrock-compatible"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("127.0.0.1", "generic"),
        ("api.openai.com.example", "generic"),
    ],
)
def test_a_well_known_host_has_its_preset(host: str, preset: str) -> None:
    assert preset_of(Endpoint(base_url=f"https://{host}/v1", model="m"), host) == preset
    assert preset_of(Endpoint(base_url=f"https://{host}/v1", model="m", preset="groq"), host) == "groq"


def test_azure_takes_the_key_in_a_header_of_its_own() -> None:
    # learn.microsoft.com/azure/ai-services/openai/reference
    client = OpenAIClient(Endpoint(base_url="https://h/v1", model="m", api_key="sk-x", preset="azure"))
    assert b"\r\napi-key: sk-x\r\n" in client._head
    assert b"Authorization" not in client._head


def test_the_settings_rename_drop_and_add() -> None:
    of_it = dialect(renamed={"max_tokens": "max_new"}, dropped={"user"}, added={"reasoning": {"enabled": False}})
    body = of_it.body(asking(max_tokens=9, user="u", reasoning={"enabled": True}), stream=False)
    assert body["max_new"] == 9
    assert body["reasoning"] == {"enabled": False}
    assert not body.keys() & {"max_tokens", "user"}


@pytest.mark.parametrize("changes", [{"added": {"max_tokens": 9}}, {"added": {"model": "x"}}, {"dropped": ["tools"]}])
def test_settings_that_would_take_the_cap_away_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="may not name"):
        Endpoint(base_url="https://h/v1", model="m", **changes)


# What is learned

REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # BerriAI/litellm#13381
    "OpenAI's max_tokens": (
        {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                   "'max_completion_tokens' instead.", "type": "invalid_request_error", "param": "max_tokens",
                   "code": "unsupported_parameter"}},
        {"max_tokens": 9}, {"max_completion_tokens": 9},
    ),
    # the same words without the fields, as proxies pass them on
    "a proxy's max_tokens": (
        {"error": {"message": "litellm.BadRequestError: Unsupported parameter: 'max_tokens' is not supported with this "
                   "model. Use 'max_completion_tokens' instead.", "code": "400"}},
        {"max_tokens": 9}, {"max_completion_tokens": 9},
    ),
    # gabrii/Cursor-Azure-GPT-5#33
    "OpenAI's temperature": (
        {"error": {"message": "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default "
                   "(1) value is supported.", "type": "invalid_request_error", "param": "temperature",
                   "code": "unsupported_value"}},
        {"temperature": 0.2, "made_up": 1}, {"made_up": 1},
    ),
    # openai/openai-agents-python#442
    "Mistral's newer cap": (
        {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"],
         "msg": "Extra inputs are not permitted", "input": 9}]}, "type": "invalid_request_error", "param": None,
         "code": None},
        {"max_completion_tokens": 9}, {"max_tokens": 9},
    ),
    # mistralai/platform-docs-public#7, in FastAPI's own form
    "FastAPI's extra field": (
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "frequency_penalty"],
                     "msg": "Extra inputs are not permitted", "input": 0.0}]},
        {"frequency_penalty": 0.5}, {},
    ),
    # the words of strict servers in Go and Rust
    "an unknown field": (
        {"error": "json: unknown field \"top_k\""}, {"top_k": 5, "seed": 1}, {"seed": 1},
    ),
}  # fmt: skip


@asynccontextmanager
async def upstream(
    refuse: Callable[[dict[str, Any]], dict[str, Any] | None], status: int = 400, **changes: Any
) -> AsyncIterator[tuple[list[dict[str, Any]], OpenAIClient]]:
    """Answers what `refuse` returns with the status, and well where it returns None. Yields the bodies it got."""
    bodies: list[dict[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                bodies.append(body)
                error = refuse(body)
                answer = json.dumps(GOOD if error is None else error).encode()
                code = 200 if error is None else status
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (code, len(answer), answer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint(**{"base_url": f"http://127.0.0.1:{port}/v1", "model": "m", "max_retries": 0, **changes})
    client = OpenAIClient(endpoint)
    yield bodies, client
    await client.close()
    server.close()


def own(body: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in body.items() if k not in ("model", "messages", "stream", "stream_options")}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("status", [400, 422])
async def test_a_refused_parameter_is_said_otherwise_and_remembered(
    name: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    error, asked, expected = REFUSALS[name]
    refused = asked.keys() - expected.keys()

    def refuse(body: dict[str, Any]) -> dict[str, Any] | None:
        return error if body.keys() & refused else None

    async with upstream(refuse, status) as (bodies, client):
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                reply = await client.complete(asking(**asked).model_copy(update={"billed_once": True}))
                assert reply.message["content"] == "Fine."
            assert isinstance([piece async for piece in client.stream(asking(**asked))][-1], ModelReply)
    assert [own(body) for body in bodies] == [asked, expected, expected, expected]
    assert [record.message for record in caplog.records if "learned" in record.message] == ["model_parameter_learned"]


async def test_several_refusals_are_learned_in_one_call() -> None:
    def refuse(body: dict[str, Any]) -> dict[str, Any] | None:
        for name in ("max_tokens", "temperature", "top_p", "seed"):
            if name in body:
                return {"error": {"message": f"Unsupported parameter: '{name}'", "param": name}}
        return None

    async with upstream(refuse) as (bodies, client):
        await client.complete(asking(max_tokens=9, temperature=0, top_p=0.5, seed=7))
    assert own(bodies[-1]) == {"max_completion_tokens": 9}


@pytest.mark.parametrize(
    "asked",
    [
        {"response_format": {"type": "json_object"}},
        {"tool_choice": "required", "tools": [TOOL]},
        {"stop": ["x"]},
        {"reasoning_effort": "low"},
        {"made_up": 1},
        {"parallel_tool_calls": False},
    ],
)
async def test_what_changes_the_answer_is_not_left_out_but_refused_by_name(asked: dict[str, Any]) -> None:
    name = next(iter(asked))
    error = {"error": {"message": f"Unsupported parameter: '{name}'", "param": name, "code": "unsupported_parameter"}}
    async with upstream(lambda body: error if name in body else None) as (bodies, client):
        with pytest.raises(ModelRejected, match=name) as raised:
            await client.complete(asking(**asked))
    assert raised.value.param == name
    assert len(bodies) == 1


async def test_a_cap_that_is_refused_by_both_names_is_not_done_without() -> None:
    def refuse(body: dict[str, Any]) -> dict[str, Any] | None:
        name = next(name for name in ("max_tokens", "max_completion_tokens") if name in body)
        return {"error": {"message": f"Unsupported parameter: '{name}'", "param": name}}

    async with upstream(refuse) as (bodies, client):
        with pytest.raises(ModelRejected):
            await client.complete(asking(max_tokens=9))
    assert [own(body) for body in bodies] == [{"max_tokens": 9}, {"max_completion_tokens": 9}]


def test_what_is_no_refusal_of_a_parameter_teaches_nothing() -> None:
    of_it = dialect()
    body = of_it.body(asking(max_tokens=10**6, user="u", temperature=0.2), stream=False)
    for message in (
        "max_tokens is too large: 1000000. This model supports at most 16384 completion tokens",
        "the user is not allowed to do that with messages",
        "temperature must be between 0 and 2",
        "This model's maximum context length is 8192 tokens",
    ):
        assert not of_it.learn(read_error({"error": {"message": message}}), body), message
    assert of_it.body(asking(max_tokens=10**6, user="u", temperature=0.2), stream=False) == body


def test_an_endpoint_that_ignores_the_newer_cap_is_told_by_the_older() -> None:
    of_it = dialect()
    long = ModelReply(message={"content": "x"}, finish_reason="stop", model="m", usage=Usage(completion_tokens=900))
    of_it.check(asking(max_completion_tokens=1000), long)
    assert "max_completion_tokens" in of_it.body(asking(max_completion_tokens=50), stream=False)
    of_it.check(asking(max_completion_tokens=50), long)
    assert own(of_it.body(asking(max_completion_tokens=50), stream=False)) == {"max_tokens": 50}


# What holds or is refused


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look"}}])
async def test_a_demanded_tool_call_holds_or_is_refused(choice: Any) -> None:
    async with upstream(lambda _: None) as (_, client):
        with pytest.raises(ModelRejected, match="forced_tools") as raised:
            await client.complete(asking(tools=[TOOL], tool_choice=choice))
        with pytest.raises(ModelRejected, match="forced_tools"):
            [piece async for piece in client.stream(asking(tools=[TOOL], tool_choice=choice))]
        await client.complete(asking(tools=[TOOL], tool_choice="auto"))
    assert raised.value.param == "tool_choice"
    assert not surely_unbilled(raised.value)


async def test_logprobs_that_are_ignored_are_refused_and_not_paid_for_again() -> None:
    async with upstream(lambda _: None) as (bodies, client):
        for _ in range(2):
            with pytest.raises(ModelRejected) as raised:
                await client.complete(asking(logprobs=True))
            assert raised.value.param == "logprobs"
    assert len(bodies) == 1
