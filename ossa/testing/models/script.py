"""What a scripted model answers: a pure function of the conversation.

Markers in the last user message:

    [[tool:NAME {"json": "arguments"}]]   call a tool; several are called one after the other,
                                          joined by `+` they are called in one message
    [[say:TEXT]]      answer TEXT instead of the echo
    [[long:100]]      answer 100 tokens
    [[delay:0.2]]     answer after 0.2 s
    [[pace:0.05]]     of a stream: 0.05 s between two pieces
    [[fail:503:2]]    the first 2 calls with this conversation are answered 503
    [[fail:429:1:3]]  and ask for a `Retry-After` of 3 s
    [[drop:1]]        the first call with this conversation is cut off without an answer
    [[cut:5]]         of a stream: the connection breaks after 5 pieces

Without markers the answer is `echo: ` and the last user text. After tool calls
their results follow in brackets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ossa.models.usage import prompt_tokens, text_tokens

_MARKER = re.compile(r"\[\[(say|long|delay|pace|fail|drop|cut):([^\]]*)\]\]")
_TOOL = re.compile(r"\[\[tool:([A-Za-z0-9_.-]+)\s*")
_DECODER = json.JSONDecoder()


@dataclass(slots=True)
class Plan:
    """What to answer. `calls` are (name, arguments as written); with any, `text` is empty."""

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    delay_s: float = 0.0
    pace_s: float = 0.0
    fail_status: int = 0
    fail_times: int = 0
    retry_after_s: float | None = None
    drop_times: int = 0
    cut_after: int | None = None
    prompt_tokens: int = 0

    @property
    def finish_reason(self) -> str:
        return "tool_calls" if self.calls else "stop"

    @property
    def completion_tokens(self) -> int:
        return max(1, text_tokens(self.text) + sum(text_tokens(name + arguments) for name, arguments in self.calls))

    def message(self) -> dict[str, Any]:
        """The assistant message. Call ids repeat from message to message, as some real endpoints' do."""
        if not self.calls:
            return {"role": "assistant", "content": self.text}
        calls = [
            {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for i, (name, arguments) in enumerate(self.calls)
        ]
        return {"role": "assistant", "content": None, "tool_calls": calls}


def plan(messages: Sequence[dict[str, Any]]) -> Plan:
    """The answer to a conversation. Raises `ValueError` for a marker that cannot be read."""
    asked, results = _last_turn(messages)
    answer = Plan(prompt_tokens=prompt_tokens(messages))
    if "[[" not in asked:
        answer.text = _with_results(f"echo: {asked}", results)
        return answer
    rest, groups = _take_tools(asked)
    for name, value in _MARKER.findall(rest):
        _apply(answer, name, value)
    done = 0
    for group in groups:
        if done == len(results):
            answer.calls, answer.text = group, ""
            return answer
        done += len(group)
    answer.text = _with_results(answer.text or f"echo: {_MARKER.sub('', rest).strip()}", results)
    return answer


def pieces(text: str) -> list[str]:
    """The text as a stream's pieces: words with the space before them."""
    return re.findall(r"\s*\S+|\s+$", text)


def _last_turn(messages: Sequence[dict[str, Any]]) -> tuple[str, list[str]]:
    """The last user text and the tool results after it."""
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") == "user":
            return _text(message.get("content")), results[::-1]
        if message.get("role") == "tool":
            results.append(_text(message.get("content")))
    return "", results[::-1]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if isinstance(part, dict))


def _with_results(text: str, results: list[str]) -> str:
    return f"{text} [{'; '.join(results)}]" if results else text


def _take_tools(text: str) -> tuple[str, list[list[tuple[str, str]]]]:
    """Cut the tool markers out; calls joined by `+` share a group."""
    rest: list[str] = []
    groups: list[list[tuple[str, str]]] = []
    position = 0
    while found := _TOOL.search(text, position):
        between = text[position : found.start()]
        arguments, end = _arguments(text, found.end())
        if between.strip() == "+" and groups:
            groups[-1].append((found[1], arguments))
        else:
            rest.append(between)
            groups.append([(found[1], arguments)])
        position = end
    rest.append(text[position:])
    return "".join(rest), groups


def _arguments(text: str, start: int) -> tuple[str, int]:
    """The arguments as written up to the marker's end: JSON, which may hold brackets itself, or any raw text."""
    try:
        _, end = _DECODER.raw_decode(text, start)
    except ValueError:
        end = text.find("]]", start)
    if not text.startswith("]]", end):
        raise ValueError(f"a [[tool:...]] marker does not end in ]]: {text[start : start + 60]!r}")
    return text[start:end].strip() or "{}", end + 2


def _apply(answer: Plan, name: str, value: str) -> None:
    match name:
        case "say":
            answer.text = value
        case "long":
            answer.text = " ".join(["word"] * int(value))
        case "delay":
            answer.delay_s = float(value)
        case "pace":
            answer.pace_s = float(value)
        case "drop":
            answer.drop_times = int(value)
        case "cut":
            answer.cut_after = int(value)
        case "fail":
            status, times, *after = value.split(":")
            answer.fail_status, answer.fail_times = int(status), int(times)
            answer.retry_after_s = float(after[0]) if after else None
