"""Token counts where nobody counted: four characters a token, four tokens a message.

And counts that no tokenizer exceeds: those in use fall back to bytes, so a text has at most as many tokens as bytes.
"""

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


_MOST_PER_MESSAGE = 16
_MOST_PER_CALL = 64
_MOST_PER_IMAGE = 50_000
"""Tokens of the dearest picture in OpenAI's guide (gpt-4o-mini, eight tiles: 48,169)."""


def most_prompt_tokens(messages: Iterable[Message], tools: Any = None) -> int:
    """Tokens that a call with these messages and tools cannot exceed; chat templates add a few to each message."""
    total = _MOST_PER_CALL + sum(most_message_tokens(message) for message in messages)
    return total + (len(orjson.dumps(tools)) + _MOST_PER_MESSAGE * len(tools) if tools else 0)


def most_message_tokens(message: Message) -> int:
    content = message.get("content")
    rest = {key: value for key, value in message.items() if key != "content"}
    total = _MOST_PER_MESSAGE + len(orjson.dumps(rest))
    if isinstance(content, str):
        return total + len(content.encode("utf-8", "surrogatepass"))
    parts = content if isinstance(content, list) else ()
    return total + sum(
        _MOST_PER_IMAGE if part.get("type") == "image_url" else len(orjson.dumps(part)) for part in parts
    )
