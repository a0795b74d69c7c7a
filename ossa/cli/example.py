"""An example request, and what became of it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from ossa.contracts.value import Value


class Example(Value):
    """A bundled request. `expect_tool`: it counts only if that tool really ran."""

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
    """`ok`: an answer came, from the pool that was asked, and the tool that was to be used was used."""

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
    """The examples that come with the package."""
    text = files("ossa.cli").joinpath("example_requests.json").read_text(encoding="utf-8")
    return tuple(TypeAdapter(list[Example]).validate_python(json.loads(text)))
