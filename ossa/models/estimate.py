"""Token counts where nobody counted: four characters a token, four tokens a message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from ossa.contracts.task import Message

CHARS_PER_TOKEN = 4
_PER_MESSAGE = 4
_IMAGE_TOKENS = 800


def text_tokens(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


def message_tokens(message: Message) -> int:
    """Roughly what a message costs in a prompt; an image counts as 800."""
    total = _PER_MESSAGE + _content_tokens(message.get("content"))
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        total += _PER_MESSAGE + text_tokens(str(function.get("name", "")) + str(function.get("arguments", "")))
    return total


def prompt_tokens(messages: Iterable[Message], tools: Any = None) -> int:
    """Roughly what a call with these messages and tools costs before its answer."""
    total = sum(message_tokens(message) for message in messages)
    return total + (text_tokens(orjson.dumps(tools).decode()) if tools else 0)


def _content_tokens(content: Any) -> int:
    if isinstance(content, str):
        return text_tokens(content)
    if isinstance(content, list):
        return sum(
            text_tokens(part["text"]) if isinstance(part.get("text"), str) else _IMAGE_TOKENS for part in content
        )
    return 0
