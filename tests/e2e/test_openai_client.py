"""The official OpenAI client works unchanged."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from benchmarks.bench_fleet import BenchFleet


@pytest.fixture(scope="module")
def client(fleet: BenchFleet) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{fleet.url}/v1", api_key=fleet.api_key, max_retries=0, timeout=60) as client:
        yield client


def test_a_chat_is_answered_with_usage_and_headers(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "good morning"}]
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "echo: good morning"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert raw.headers["x-ossa-task-id"].startswith("task_")
    assert raw.headers["x-ossa-agent"]
    assert float(raw.headers["x-ossa-cost-usd"]) >= 0


def test_a_streamed_chat_comes_in_pieces(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="pool/security",
        messages=[{"role": "user", "content": "[[long:20]] [[pace:0.01]]"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) > 5
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("pool", ["foundation", "security", "intelligence", "federation", "community"])
def test_every_pool_answers(client: openai.OpenAI, pool: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=f"pool/{pool}", messages=[{"role": "user", "content": "hello"}]
    )
    assert raw.headers["x-ossa-pool"] == pool


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert {"auto", "pool/intelligence"} <= {model.id for model in client.models.list()}


def test_a_wrong_key_is_openais_authentication_error(fleet: BenchFleet) -> None:
    with (
        openai.OpenAI(base_url=f"{fleet.url}/v1", api_key="ossa_sk_" + "x" * 43, max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hello"}])


def test_an_unknown_model_is_openais_not_found_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="nowhere"):
        client.chat.completions.create(model="pool/nowhere", messages=[{"role": "user", "content": "hello"}])
