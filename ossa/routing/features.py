"""What routing knows of a request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ossa.contracts.task import TaskRequest

READ_CHARACTERS = 4_000
"""Of a long message only its beginning is read: routing has a time bound."""

CAPABILITIES_KEY = "ossa.capabilities"
"""In a request's metadata: what the agent must be able to do, or tools it must have; commas between them."""

CHARACTERS_PER_TOKEN = 4
USUAL_ANSWER_TOKENS = 256
"""Where the request does not bound the answer."""

_WORD = re.compile(r"[^\W_]{2,32}")
_STOP_WORDS_TEXT = """
the and for with that this from are was what how can you your our its not but has have will would should
could an of to in on is it be as at by or if we me my do does did who when where why which all any please
about into agent agents use using used over more than then them they there their
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())


@dataclass(frozen=True)
class RequestFeatures:
    """
    Attributes:
        words: of the last user message.
        text: that message, no longer than it is read.
        prompt_tokens, completion_tokens: estimates of one model call.
        needs: capabilities or tools that the request asks for.
        conversation: names the conversation the request goes on with; empty where it begins one.
    """

    words: frozenset[str] = frozenset()
    text: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = USUAL_ANSWER_TOKENS
    needs: frozenset[str] = frozenset()
    conversation: str = ""

    @classmethod
    def of(cls, messages: Iterable[Mapping[str, Any]]) -> RequestFeatures:
        text = last_user_text(messages)[:READ_CHARACTERS]
        return cls(words=words_of(text), text=text)

    @classmethod
    def of_request(cls, request: TaskRequest) -> RequestFeatures:
        text = last_user_text(request.messages)[:READ_CHARACTERS]
        characters = sum(len(_text(message.get("content"))) for message in request.messages)
        return cls(
            words=words_of(text),
            text=text,
            prompt_tokens=characters // CHARACTERS_PER_TOKEN,
            completion_tokens=_asked_tokens(request.parameters),
            needs=_needs(request.metadata),
            conversation=conversation_of(request.messages),
        )


def last_user_text(messages: Iterable[Mapping[str, Any]]) -> str:
    """The text of the last message of role `user`; of content parts, the text ones."""
    text = ""
    for message in reversed(list(messages)):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return text


def words_of(text: str) -> frozenset[str]:
    """Lower-case words without the most frequent ones; a plural `s` is cut off."""
    found = _WORD.findall(text[:READ_CHARACTERS].lower())
    return frozenset(_stem(word) for word in found if word not in _STOP_WORDS)


def conversation_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """A digest of the first user message and of the first answer, which do not change while a conversation grows."""
    first = next((n for n, message in enumerate(messages) if message.get("role") == "user"), None)
    answer = next((message for message in messages[(first or 0) + 1 :] if message.get("role") == "assistant"), None)
    if first is None or answer is None:
        return ""
    begun = [_text(message.get("content"))[:READ_CHARACTERS] for message in (messages[first], answer)]
    return hashlib.blake2b("\0".join(begun).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _asked_tokens(parameters: Mapping[str, Any]) -> int:
    asked = parameters.get("max_completion_tokens") or parameters.get("max_tokens")
    return min(USUAL_ANSWER_TOKENS, asked) if isinstance(asked, int) and asked > 0 else USUAL_ANSWER_TOKENS


def _needs(metadata: Mapping[str, Any]) -> frozenset[str]:
    said = metadata.get(CAPABILITIES_KEY)
    named = said.split(",") if isinstance(said, str) else said if isinstance(said, list) else ()
    return frozenset(name.strip() for name in named if isinstance(name, str) and name.strip())


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return ""
