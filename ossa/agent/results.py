"""Results of tools in a conversation: which call each answers, and what was asked at that time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ossa.agent.conversation import Entry
from ossa.agent.tool_calls import calls_of
from ossa.contracts.agent_hooks import ToolCall
from ossa.contracts.task import Message

QUESTION_CHARS = 2000


class Result(NamedTuple):
    """`call`: the tool's name and arguments as they were written; empty where the call is not known."""

    entry: Entry
    call: str
    question: str

    @property
    def content(self) -> str:
        return str(self.entry.message["content"])


def results_of(entries: Sequence[Entry]) -> list[Result]:
    """The question of a result is the last thing a user said before it, and the call.

    Only what came before counts, so that a caller who sends a conversation again, one message longer, has each result
    shortened as it was before.
    """
    found: list[Result] = []
    calls: dict[str, ToolCall] = {}
    said = ""
    for entry in entries:
        message = entry.message
        if message.get("role") == "user":
            said = _text(message)[-QUESTION_CHARS:]
        calls.update({call.call_id: call for call in calls_of(message)})
        if entry.key:
            call = calls.get(str(message.get("tool_call_id")))
            made = f"{call.name} {call.arguments}" if call else ""
            found.append(Result(entry, made, f"{said}\n{made[:QUESTION_CHARS]}".strip()))
    return found


def _text(message: Message) -> str:
    content: Any = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""
