"""Sends the bundled example requests through the public HTTP API, as any client would, and reports what happened."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Literal

import httpx
from pydantic import Field, TypeAdapter
from rich.console import Console
from rich.text import Text

from ossa.contracts.errors import OssaError
from ossa.contracts.value import Value
from ossa.sdk.chat import Answer
from ossa.sdk.client import Client
from ossa.sdk.connection import resolve
from ossa.sdk.errors import UnexpectedAnswer
from ossa.sdk.tasks import Task

COLUMNS = ("request", "ok", "pool", "agent", "model", "tokens", "cost $", "seconds", "task")
NUMBERS = frozenset({"tokens", "cost $", "seconds"})


class Example(Value):
    """A bundled request. With `expect_tool` it is ok only if that tool really ran."""

    name: str
    kind: Literal["chat", "stream", "task"]
    model: str
    messages: list[dict[str, Any]]
    parameters: dict[str, Any] = Field(default_factory=dict)
    expect_tool: str | None = None

    @property
    def expect_pool(self) -> str | None:
        kind, _, name = self.model.partition("/")
        return name if kind == "pool" else None


class ExampleResult(Value):
    """What became of an example. `ok`: the pool that was asked answered, and the expected tool was used."""

    name: str
    ok: bool
    pool: str = ""
    agent: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0
    first_text_s: float | None = Field(default=None, description="a streamed one: until the first piece of text")
    task_id: str = ""
    text: str = ""
    problem: str = Field(default="", description="why it is not ok")


class ExampleReport(Value):
    results: tuple[ExampleResult, ...]

    @property
    def ok(self) -> bool:
        return bool(self.results) and all(result.ok for result in self.results)


def bundled_examples() -> tuple[Example, ...]:
    """Returns the examples that come with the package."""
    text = files("ossa.cli").joinpath("example_requests.json").read_text(encoding="utf-8")
    return tuple(TypeAdapter(list[Example]).validate_python(json.loads(text)))


def run_examples(
    client_url: str,
    api_key: str,
    console: Console,
    *,
    examples: Sequence[Example] | None = None,
    timeout_s: float = 120.0,
    transport: httpx.BaseTransport | None = None,
) -> ExampleReport:
    """Sends the examples one after another, prints a table, and returns the same as data.

    A request that fails is a row that says why; nothing is raised for what the fleet does. Answers are checked: the
    text must not be empty, the pool must be the one that was asked, a tool's result must be in the journal.
    """
    chosen = bundled_examples() if examples is None else tuple(examples)
    with Client(resolve(client_url, api_key), timeout_s=timeout_s, transport=transport) as client:
        results = []
        for example in chosen:
            if console.is_terminal:
                console.print(Text(f"  asking: {example.name}", style="dim"))
            results.append(_run(client, example, timeout_s))
    report = ExampleReport(results=tuple(results))
    print_report(report, console)
    return report


def print_report(report: ExampleReport, console: Console) -> None:
    """Prints one line for each request, never cut, then one for each that is not ok."""
    rows = [COLUMNS, *(_row(result) for result in report.results)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = zip(COLUMNS, row, widths, strict=True)
        padded = [cell.rjust(width) if name in NUMBERS else cell.ljust(width) for name, cell, width in cells]
        ok = not number or report.results[number - 1].ok
        console.print(Text("  ".join(padded).rstrip(), style="" if ok else "red"), soft_wrap=True)
    for result in report.results:
        if not result.ok:
            console.print(Text(f"{result.name}: {result.problem}", style="red"), soft_wrap=True)


def _row(result: ExampleResult) -> tuple[str, ...]:
    return (
        result.name,
        "yes" if result.ok else "NO",
        result.pool,
        result.agent,
        result.model,
        str(result.prompt_tokens + result.completion_tokens),
        f"{result.cost_usd:.6f}",
        f"{result.latency_s:.2f}",
        result.task_id,
    )


def _run(client: Client, example: Example, timeout_s: float) -> ExampleResult:
    start = time.perf_counter()
    first_text_s: float | None = None
    answer: Answer | None = None
    task_id = ""
    try:
        if example.kind == "task":
            task_id = client.tasks.create(example.messages, model=example.model, **example.parameters).id
            client.tasks.wait(task_id, timeout_s=timeout_s)
        elif example.kind == "stream":
            with client.chat(example.messages, model=example.model, stream=True, **example.parameters) as pieces:
                for _ in pieces:
                    first_text_s = first_text_s or time.perf_counter() - start
                answer = pieces.answer()
        else:
            answer = client.chat(example.messages, model=example.model, **example.parameters)
        latency_s = time.perf_counter() - start
        task_id = answer.task_id if answer else task_id
        result = _judge(client, example, task_id)
        return result.model_copy(
            update={"latency_s": latency_s, "first_text_s": first_text_s, **_compared(answer, result)}
        )
    except OssaError as error:
        latency_s = time.perf_counter() - start
        return ExampleResult(
            name=example.name, ok=False, latency_s=latency_s, task_id=task_id, problem=f"{error.code}: {error.message}"
        )


def _compared(answer: Answer | None, result: ExampleResult) -> dict[str, object]:
    """Compares the answer that came with the one in the journal; returns what to change in the result."""
    if answer is None or not result.ok or answer.text == result.text:
        return {}
    return {"ok": False, "problem": "the answer that came is not the one in the journal"}


def _judge(client: Client, example: Example, task_id: str) -> ExampleResult:
    """Judges by what the journal has of the task, not by what the answer claimed."""
    if not task_id:
        raise UnexpectedAnswer("The answer named no task, so that nothing can be said about it.")
    task = client.tasks.get(task_id)
    tools = _tools_used(client, task_id) if example.expect_tool else ()
    problem = _problem(example, task, tools)
    return ExampleResult(
        name=example.name,
        ok=not problem,
        pool=task.pool,
        agent=task.agent,
        model=task.model,
        prompt_tokens=task.usage.prompt_tokens,
        completion_tokens=task.usage.completion_tokens,
        cost_usd=task.usage.cost_usd,
        task_id=task_id,
        text=task.text,
        problem=problem,
    )


def _problem(example: Example, task: Task, tools: Sequence[str]) -> str:
    """Returns what is wrong, or an empty text."""
    if task.status != "succeeded":
        reason = task.outcome.error.message if task.outcome and task.outcome.error else "no reason given"
        return f"the task is {task.status}: {reason}"
    if not task.text.strip():
        return "the answer is empty"
    if example.expect_pool and task.pool != example.expect_pool:
        return f"pool {task.pool or 'unknown'} answered instead of {example.expect_pool}"
    if example.expect_tool and example.expect_tool not in tools:
        return f"the tool {example.expect_tool} gave no result (results came from: {', '.join(tools) or 'none'})"
    return ""


def _tools_used(client: Client, task_id: str) -> tuple[str, ...]:
    """Returns the names of the tools that gave a result, not an error, in the task's journal."""
    used = []
    for event in client.tasks.events(task_id):
        if "tool_result" not in (event.type, event.data.get("kind")):
            continue
        payload = event.data.get("payload", event.data)
        if isinstance(payload, dict) and not payload.get("is_error"):
            used.append(str(payload.get("name", "")))
    return tuple(used)
