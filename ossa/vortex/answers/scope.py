"""The scope of a question: all that shapes an answer beside it. Light, because whoever builds requests imports it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

SHAPELESS = frozenset(
    {"stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
)
"""Request parameters that change how an answer is sent or billed, not what it says. Every other one is in the scope."""

_FORM = 2


def question_of(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The text of the last message, when that is a user's and nothing but text; else None: nothing to look up."""
    if not messages or messages[-1].get("role") != "user":
        return None
    content = messages[-1].get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
            return None
        content = "\n".join(str(part.get("text", "")) for part in content)
    return content if isinstance(content, str) and content.strip() else None


def scope_of(
    *,
    spec_digest: str,
    model: str,
    parameters: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    documents: Mapping[str, str] | None = None,
) -> str:
    """A sha256 over all that may change the answer; another one when any of it changes.

    Args:
        spec_digest: of the manifest, with its system prompt, tools and limits.
        model: endpoint and model that would answer.
        parameters: of the request, as sent (temperature, max_tokens, response_format, seed, tools, ...).
        messages: all of the request's; of the last one all but its text, which is the question.
        documents: name and version of what the agent knows: files, memories, indexes.
    """
    shaping = {name: value for name, value in parameters.items() if name not in SHAPELESS and value is not None}
    whole = [_FORM, spec_digest, model, shaping, list(messages[:-1]), _around(messages), documents or {}]
    return hashlib.sha256(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _around(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns all of the last message but its text: its fields, and each part's fields and length of text."""
    if not messages:
        return {}
    last = messages[-1]
    fields = {name: value for name, value in last.items() if name not in ("role", "content")}
    content = last.get("content")
    parts = [_beside_text(part) for part in content] if isinstance(content, list) else []
    return {"fields": fields, "parts": parts}


def _beside_text(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    fields = {name: value for name, value in part.items() if name not in ("type", "text")}
    return [part.get("type"), len(str(part.get("text", ""))), fields]
