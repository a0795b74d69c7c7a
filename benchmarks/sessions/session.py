"""A session: the messages of one conversation, and where the published ones come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.context.problem import open_lines

Message = dict[str, Any]


@dataclass(frozen=True)
class Session:
    """OpenAI chat messages; results of tools have the role `tool`."""

    id: str
    messages: tuple[Message, ...]


def _rows(path: Path) -> Iterator[Any]:
    for line in open_lines(path):
        yield json.loads(line)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _message(found: Message) -> Message:
    """What of a message is sent."""
    message = {name: found[name] for name in ("role", "tool_calls", "tool_call_id") if found.get(name)}
    return {**message, "content": _text(found.get("content"))}


def taubench(data: Path) -> list[Session]:
    path = data / "context" / "taubench_gpt4o_airline_trajectories.jsonl.gz"
    return [Session(f"{row['task_id']}/{row['trial']}", tuple(map(_message, row["messages"]))) for row in _rows(path)]


def sweagent(data: Path) -> list[Session]:
    """An action is written into the assistant's text, and its observation comes as the next user message or tool's."""
    found = []
    for row in _rows(data / "context" / "sweagent_demo_trajectories.jsonl.gz"):
        messages: list[Message] = []
        for number, raw in enumerate(row["history"]):
            message = _message(raw)
            message.pop("tool_calls", None)
            if message["role"] in ("user", "tool") and messages and messages[-1]["role"] == "assistant":
                message = {"role": "tool", "tool_call_id": f"call_{number - 1}", "content": message["content"]}
                action = {"name": "shell", "arguments": json.dumps({"command": row["history"][number - 1]["action"]})}
                call = {"id": f"call_{number - 1}", "type": "function", "function": action}
                messages[-1] = {**messages[-1], "tool_calls": [call]}
            messages.append(message)
        found.append(Session(row["path"], tuple(messages)))
    return found


def holmes(data: Path) -> list[Session]:
    path = data / "context" / "holmes_compaction.jsonl.gz"
    return [Session(row["id"], tuple(map(_message, row["conversation"]))) for row in _rows(path)]


def read_file(path: Path) -> list[Session]:
    """Sessions in the session form: `id`, `messages`."""
    found = []
    for number, row in enumerate(_rows(path), start=1):
        if not isinstance(row.get("messages"), list):
            raise SystemExit(f"{path}:{number}: `messages` must be a list of chat messages")
        found.append(Session(str(row.get("id", number)), tuple(map(_message, row["messages"]))))
    return found


SETS: dict[str, Callable[[Path], list[Session]]] = {"taubench": taubench, "sweagent": sweagent, "holmes": holmes}
