"""The scripted server, seen by the official client, and in a process of its own."""

from __future__ import annotations

import pytest

from ossa.contracts.model import ModelRequest
from ossa.models.client import OpenAIClient
from ossa.testing.models.server import ScriptedModelServer, ScriptedProcess


async def test_the_official_client_understands_it() -> None:
    openai = pytest.importorskip("openai")
    async with ScriptedModelServer() as server:
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=1)
        messages = [{"role": "user", "content": "hello"}]
        whole = await client.chat.completions.create(model="m", messages=messages)
        assert whole.choices[0].message.content == "echo: hello"
        assert whole.usage.total_tokens > 0
        options = {"include_usage": True}
        stream = await client.chat.completions.create(model="m", messages=messages, stream=True, stream_options=options)
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "echo: hello"
        assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
        assert [model.id async for model in client.models.list()] == ["scripted"]
        await client.close()


async def test_it_counts_what_it_answers() -> None:
    async with ScriptedModelServer() as server:
        server.requests = []
        client = OpenAIClient(ScriptedProcess().endpoint(base_url=server.base_url, backoff_s=0.001))
        messages = [{"role": "user", "content": "[[fail:500:1]] [[tool:a]]"}]
        await client.complete(ModelRequest(model="m", messages=messages))
        await client.close()
        assert (server.counters.calls, server.counters.failed, server.counters.tool_calls) == (2, 1, 1)
        assert [request["messages"] for request in server.requests] == [messages, messages]


async def test_it_runs_in_a_process_of_its_own_and_ends_with_it() -> None:
    with ScriptedProcess() as process:
        client = OpenAIClient(process.endpoint())
        reply = await client.complete(ModelRequest(model="m", messages=[{"role": "user", "content": "hi"}]))
        assert reply.message["content"] == "echo: hi"
        assert process.counters()["calls"] == 1
        await client.close()
