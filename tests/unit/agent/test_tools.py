from __future__ import annotations

import asyncio
import sys
import threading
from types import ModuleType
from typing import Any, Literal

import pytest

from ossa.agent.tools import (
    Tool,
    ToolContext,
    ToolRegistry,
    calls_of,
    parsed_arguments,
    run_tool,
    tool,
    with_unique_ids,
)
from ossa.contracts.agent_hooks import ToolCall
from ossa.contracts.agent_spec import ToolRef
from tests.support.clock import ManualClock

CONTEXT = ToolContext(task_id="t", tenant="acme", agent_id="a", idempotency_key="t:c")


def call(name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall("c", name, arguments)


@tool(effects="none")
def search(
    query: str, kind: Literal["web", "news"] = "web", limit: int = 3, tags: list[str] | None = None
) -> dict[str, Any]:
    """Search things."""
    return {"query": query, "kind": kind, "limit": limit, "tags": tags, "thread": threading.current_thread().name}


def test_a_tools_schema_follows_from_its_annotations() -> None:
    assert search.function == {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Search things.",
            "parameters": {
                "type": "object",
                "additionalProperties": False,
                "required": ["query"],
                "properties": {
                    "query": {"type": "string"},
                    "kind": {"type": "string", "enum": ["web", "news"], "default": "web"},
                    "limit": {"type": "integer", "default": 3},
                    "tags": {
                        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                        "default": None,
                    },
                },
            },
        },
    }


def test_a_tool_without_annotations_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="parameter x needs an annotation"):

        @tool(effects="none")
        def bad(x) -> str:  # type: ignore[no-untyped-def]
            return ""

    with pytest.raises(TypeError, match="cannot be given by name"):

        @tool(effects="none")
        def worse(*x: str) -> str:
            return ""


def test_a_name_the_models_cannot_call_is_refused() -> None:
    with pytest.raises(ValueError, match="A-Z"):
        Tool(name="web search", description="", schema={}, call=print, effects="none")


async def test_a_synchronous_tool_runs_in_a_thread() -> None:
    answer = await run_tool(search, call("search", '{"query": "x", "limit": "7"}'), CONTEXT)
    assert not answer.is_error
    assert '"limit":7' in answer.content
    assert "MainThread" not in answer.content


async def test_a_tool_with_a_schema_of_its_own_is_checked_by_it() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    double = Tool(name="double", description="", schema=schema, call=lambda n: n * 2, effects="none")
    assert (await run_tool(double, call("double", '{"n": 4}'), CONTEXT)).content == "8"
    wrong = await run_tool(double, call("double", '{"n": 0}'), CONTEXT)
    assert wrong.is_error
    assert "n: 0 is less than the minimum" in wrong.content


async def test_a_slow_tool_is_given_up_and_its_doubt_is_told() -> None:
    clock = ManualClock()

    @tool(effects="at_most_once", timeout_s=3)
    async def slow() -> None:
        clock.advance(3)
        await asyncio.Event().wait()

    answer = await run_tool(slow, call("slow"), CONTEXT, clock=clock)
    assert answer.is_error
    assert "3 s. It may still have taken effect." in answer.content


async def test_a_timeout_inside_a_tool_is_its_own_error() -> None:
    @tool(effects="none")
    async def inner() -> None:
        raise TimeoutError("upstream")

    assert (await run_tool(inner, call("inner"), CONTEXT)).content == "TimeoutError: upstream"


async def test_a_tool_that_exits_does_not_take_the_agent_with_it() -> None:
    @tool(effects="none")
    async def leave() -> None:
        sys.exit(3)

    assert (await run_tool(leave, call("leave"), CONTEXT)).is_error


async def test_a_large_result_is_cut_at_a_character() -> None:
    @tool(effects="none")
    async def much() -> str:
        return "ä" * 1000

    answer = await run_tool(much, call("much"), CONTEXT, max_result_bytes=101)
    assert answer.content == "ä" * 50 + "\n[cut: 101 of 2000 bytes]"


@pytest.mark.parametrize(("value", "text"), [(None, "null"), ("x", "x"), ({1: {2}}, '{"1":"{2}"}'), ("\ud800", "?")])
async def test_any_result_becomes_text(value: Any, text: str) -> None:
    @tool(effects="none")
    async def give() -> Any:
        return value

    assert (await run_tool(give, call("give"), CONTEXT)).content == text


def test_a_manifest_gets_its_tools_by_name_however_it_separates_words() -> None:
    bound = ToolRegistry.load().bind(
        [ToolRef(name="Text-Stats"), ToolRef(name="json.query", config={"a": 1}), ToolRef(name="shell")]
    )
    assert sorted(bound.tools) == ["json_query", "text_stats"]
    assert bound.configs["json_query"] == {"a": 1}
    assert bound.missing == ("shell",)


def test_the_fleets_status_is_a_tool_only_where_it_can_be_read() -> None:
    assert "fleet_status" not in ToolRegistry.load().names
    assert "fleet_status" in ToolRegistry.load(fleet_status=lambda: {}).names


async def test_the_fleets_status_is_read_through_the_callable() -> None:
    async def read() -> dict[str, int]:
        return {"ready": 3}

    status = ToolRegistry.load(fleet_status=read).bind([ToolRef(name="fleet_status")]).tools["fleet_status"]
    assert (await run_tool(status, call("fleet_status"), CONTEXT)).content == '{"ready":3}'


def test_tool_modules_join_the_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("some_tools")
    module.TOOLS = (search,)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_tools", module)
    assert "search" in ToolRegistry.load(["some_tools"]).names

    module.TOOLS = (print,)  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="no Tool"):
        ToolRegistry.load(["some_tools"])
    del module.TOOLS  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="has no TOOLS"):
        ToolRegistry.load(["some_tools"])
    with pytest.raises(ImportError):
        ToolRegistry.load(["no_such_tools"])


def test_two_tools_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    @tool(effects="none", name="Clock")
    async def other() -> str:
        return ""

    with pytest.raises(ValueError, match="two tools"):
        ToolRegistry([search, search, tool(effects="none", name="SEARCH")(other.call)])
    module = ModuleType("clashing_tools")
    module.TOOLS = (other,)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "clashing_tools", module)
    with pytest.raises(ValueError, match="two tools"):
        ToolRegistry.load(["clashing_tools"])


def test_ids_that_are_missing_taken_repeated_or_too_long_are_replaced() -> None:
    ids = ["", "a", "b", "b", "x" * 65, None]
    raw = [{"id": one, "function": {"name": "n", "arguments": "{}"}} for one in ids]
    message = with_unique_ids({"role": "assistant", "tool_calls": raw}, seq=4, taken={"a", "call_4_0"})
    assert [one.call_id for one in calls_of(message)] == [
        "call_4_0_",
        "call_4_1",
        "b",
        "call_4_3",
        "call_4_4",
        "call_4_5",
    ]


@pytest.mark.parametrize("raw", [None, [], [{}], [None], ["x"], [{"function": "f"}], [{"function": {"name": 3}}]])
def test_malformed_calls_do_not_crash_the_reading(raw: Any) -> None:
    message = with_unique_ids({"role": "assistant", "content": "c", "tool_calls": raw}, seq=0, taken=())
    assert len(calls_of(message)) == len(raw or ())


def test_arguments_sent_as_an_object_are_read() -> None:
    raw = [{"id": "a", "function": {"name": "n", "arguments": {"x": 1}}}]
    assert parsed_arguments(calls_of({"tool_calls": raw})[0]) == {"x": 1}
