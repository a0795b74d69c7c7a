"""Tokens: what a text is estimated at, what a call used in each provider's form, and its price. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from ossa.contracts.budgets import MOST_CALL_USD
from ossa.contracts.configuration import Endpoint
from ossa.contracts.task import Message, Usage

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


MOST_TOKENS = 1_000_000_000
"""A higher count for one call is a mistake of the endpoint, and is cut to this."""

MOST_ANSWER_TOKENS = 1_000_000
"""The most tokens that one answer is believed to have."""

_NOT_DOUBTED = 100_000
"""Tokens of a prompt that are believed without a look at its messages; tools and templates may add to them."""

_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_content_token_count")
_WRITTEN = ("cache_creation_input_tokens", "cache_write_tokens", "cache_creation_tokens")


def read_usage(found: Any, endpoint: Endpoint, messages: Sequence[Message], message: Message) -> Usage:
    """The endpoint's own count, priced; estimated from the texts where it sent none.

    Cached tokens are a part of the prompt's, however the provider names them: OpenAI and vLLM
    (`prompt_tokens_details.cached_tokens`), DeepSeek (`prompt_cache_hit_tokens`), Moonshot (`cached_tokens`), and
    endpoints that are compatible with Anthropic's (`cache_read_input_tokens`).
    """
    prompt = completion = cached = written = 0
    spoken: dict[str, int] = {}
    if isinstance(found, dict):
        prompt = _first(found, ("prompt_tokens", "input_tokens"))
        completion = _first(found, ("completion_tokens", "output_tokens"))
        details = found.get("prompt_tokens_details") or found.get("input_tokens_details")
        places = [details, found] if isinstance(details, dict) else [found]
        cached = min(prompt, max((_first(place, _CACHED) for place in places), default=0))
        written = min(prompt - cached, max((_first(place, _WRITTEN) for place in places), default=0))
        spoken = _details(found, prompt, completion)
    if prompt > _NOT_DOUBTED:  # a claim of millions would use up the day's limits of everybody
        prompt = min(prompt, _NOT_DOUBTED + 4 * most_prompt_tokens(messages))
        cached, written = min(cached, prompt), min(written, prompt)
    completion = min(completion, MOST_ANSWER_TOKENS)
    if not prompt and not completion:
        prompt, completion = prompt_tokens(messages), message_tokens(message)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cost_usd=price(endpoint, prompt, completion, cached=cached, written=written),
        model_calls=1,
        **spoken,
    )


def _details(found: dict[str, Any], prompt: int, completion: int) -> dict[str, int]:
    """The kinds of tokens within the prompt's and the completion's counts, by the names of `Usage`'s fields."""
    answer = found.get("completion_tokens_details") or found.get("output_tokens_details")
    asked = found.get("prompt_tokens_details") or found.get("input_tokens_details")
    counts = {
        "reasoning_tokens": _within(completion, answer, found, ("reasoning_tokens", "thoughts_token_count")),
        "audio_tokens": _within(completion, answer, {}, ("audio_tokens",)),
        "prompt_audio_tokens": _within(prompt, asked, {}, ("audio_tokens",)),
    }
    return {name: count for name, count in counts.items() if count}


def _within(most: int, details: Any, found: dict[str, Any], names: Iterable[str]) -> int:
    return min(most, _first(details if isinstance(details, dict) else {}, names) or _first(found, names))


def price(endpoint: Endpoint, prompt: int, completion: int, *, cached: int = 0, written: int = 0) -> float:
    """USD, at most `MOST_CALL_USD`; an unknown price counts as 0.

    Args:
        cached: of the prompt's tokens, those the provider read from its cache.
        written: those it wrote to its cache, where it says so. Both at the full price where theirs is not known.
    """
    cache = endpoint.prompt_cache
    billed = float(prompt)
    if cache is not None:
        billed += cached * (cache.read - 1) + written * (cache.write - 1)
    million = billed * (endpoint.input_usd_per_mtok or 0.0) + completion * (endpoint.output_usd_per_mtok or 0.0)
    usd = million / 1_000_000
    return min(usd, MOST_CALL_USD) if usd > 0 else 0.0


def _first(found: dict[str, Any], names: Iterable[str]) -> int:
    return next((count for name in names if (count := _count(found.get(name)))), 0)


def _count(value: Any) -> int:
    """A count of tokens, which may come as a float or a text; 0 for what is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return 0
    return MOST_TOKENS if math.isinf(value) else min(int(value), MOST_TOKENS)
