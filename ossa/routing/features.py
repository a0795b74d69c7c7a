"""What routing knows of a request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

READ_CHARACTERS = 4_000
"""Of a long message only its beginning is read: routing has a time bound."""

_WORD = re.compile(r"[^\W_]{2,32}")
_STOP_WORDS_TEXT = """
the and for with that this from are was what how can you your our its not but has have will would should
could an of to in on is it be as at by or if we me my do does did who when where why which all any please
about into agent agents use using used over more than then them they there their
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())


@dataclass(frozen=True)
class RequestFeatures:
    """The words of the last user message."""

    words: frozenset[str] = frozenset()

    @classmethod
    def of(cls, messages: Iterable[Mapping[str, Any]]) -> RequestFeatures:
        return cls(words=words_of(last_user_text(messages)))


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


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return ""
