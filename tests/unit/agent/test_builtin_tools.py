from __future__ import annotations

from typing import Any

import orjson
import pytest

from ossa.agent.tools import ToolContext, ToolRegistry, run_tool
from ossa.contracts.agent_hooks import ToolCall, ToolResult
from ossa.contracts.agent_spec import ToolRef

CONTEXT = ToolContext(task_id="t", tenant="acme", agent_id="a", idempotency_key="t:c")


async def answer(name: str, **arguments: Any) -> ToolResult:
    found = ToolRegistry.load().bind([ToolRef(name=name)]).tools[name]
    return await run_tool(found, ToolCall("c", name, orjson.dumps(arguments).decode()), CONTEXT)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("12*7", "84"),
        ("(3 + 4) * 2 ** 5", "224"),
        ("-2 ^ 2", "-4"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3"),
        ("7 // 2 + 7 % 4", "6"),
        ("sqrt(16) + max(1, 2) + round(pi, 2)", "9.14"),
        ("1e3", "1000"),
    ],
)
async def test_the_calculator_does_arithmetic(expression: str, value: str) -> None:
    assert await answer("calculator", expression=expression) == ToolResult(value)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "1/0",
        "__import__('os')",
        "().__class__",
        "[1][0]",
        "x",
        "sqrt('a')",
        "sqrt(-1)",
        "(-1) ** 0.5",
        "9 ** 9 ** 9",
        "10 ** 100000",
        "99999 ** 99999 % 7",
        "1e308 * 10 ** 400",
        "round(1.5, ndigits=1)",
        "sqrt(1, 2, 3)",
        "lambda: 1",
        "True + 1",
        "(" * 200 + "1" + ")" * 200 + "+" * 2000,
        "-" * 900 + "1",
        "floor(1e999)",
        "exp(10000)",
    ],
)
async def test_the_calculator_refuses_what_is_no_bounded_arithmetic(expression: str) -> None:
    found = await answer("calculator", expression=expression)
    assert found.is_error
    assert found.content.startswith("ValueError")


async def test_the_clock_knows_time_zones() -> None:
    assert '"timezone":"UTC"' in (await answer("clock")).content
    assert not (await answer("clock", timezone="Europe/Berlin")).is_error
    for wrong in ("Mars/Base", "../../etc/passwd", ""):
        assert "unknown time zone" in (await answer("clock", timezone=wrong)).content


async def test_text_is_counted() -> None:
    found = orjson.loads((await answer("text_stats", text="It's a test. A test!\n\nIs it? Yes…")).content)
    assert (found["words"], found["sentences"], found["lines"], found["paragraphs"]) == (8, 4, 3, 2)
    assert found["most_frequent"]["test"] == 2
    assert orjson.loads((await answer("text_stats", text="")).content)["sentences"] == 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", '{"a":[{"b":1},{"b":2}],"c d":{"e":null}}'),
        ("a[0].b", "1"),
        ("$.a[-1].b", "2"),
        ("$.a[*].b", "[1,2]"),
        ("$['c d'].e", "null"),
        ('["c d"]', '{"e":null}'),
    ],
)
async def test_json_is_read_by_a_path(path: str, value: str) -> None:
    document = '{"a": [{"b": 1}, {"b": 2}], "c d": {"e": null}}'
    assert await answer("json_query", document=document, path=path) == ToolResult(value)


@pytest.mark.parametrize(
    ("document", "path", "says"),
    [
        ("{", "$", "not JSON"),
        ('{"a": 1}', "b", "an object with a"),
        ("[1]", "[1]", "a list of 1"),
        ("[1]", "[[", "cannot read the path"),
        ("3", "*", "int '3'"),
    ],
)
async def test_a_path_that_leads_nowhere_says_what_is_there(document: str, path: str, says: str) -> None:
    found = await answer("json_query", document=document, path=path)
    assert found.is_error
    assert says in found.content
