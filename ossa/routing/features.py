"""The features of a request that routing uses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ossa.contracts.fleet import POOL_ALIASES, AgentInfo
from ossa.contracts.task import NewTask, Target, Task, TaskRequest

READ_CHARACTERS = 4_000
"""Characters read of a message: routing has a time bound."""

CAPABILITIES_KEY = "ossa.capabilities"
"""Metadata key for the capabilities or tools that the agent must have, separated by commas."""

CHARACTERS_PER_TOKEN = 4
USUAL_ANSWER_TOKENS = 256
"""Estimate for requests that do not bound the answer."""

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
        words: the words of the last user message.
        text: that message, cut to `READ_CHARACTERS`.
        prompt_tokens, completion_tokens: estimates of one model call.
        needs: capabilities or tools that the request asks for.
        conversation: identifies the conversation that the request continues; empty if it begins one.
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
            completion_tokens=_completion_tokens(request.parameters),
            needs=_needs(request.metadata),
            conversation=conversation_of(request.messages),
        )


def last_user_text(messages: Iterable[Mapping[str, Any]]) -> str:
    """Returns the text of the last message with the role `user`, or its text parts."""
    text = ""
    for message in reversed(list(messages)):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return text


def words_of(text: str) -> frozenset[str]:
    """Returns lower-case words without the most frequent ones; a plural `s` is cut off."""
    words = _WORD.findall(text[:READ_CHARACTERS].lower())
    return frozenset(_stem(word) for word in words if word not in _STOP_WORDS)


def conversation_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """Returns a digest of the first user message and the first answer, which stay while a conversation grows."""
    first = next((n for n, message in enumerate(messages) if message.get("role") == "user"), None)
    answer = next((message for message in messages[(first or 0) + 1 :] if message.get("role") == "assistant"), None)
    if first is None or answer is None:
        return ""
    beginning = [_text(message.get("content"))[:READ_CHARACTERS] for message in (messages[first], answer)]
    return hashlib.blake2b("\0".join(beginning).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _completion_tokens(parameters: Mapping[str, Any]) -> int:
    limit = parameters.get("max_completion_tokens") or parameters.get("max_tokens")
    return min(USUAL_ANSWER_TOKENS, limit) if isinstance(limit, int) and limit > 0 else USUAL_ANSWER_TOKENS


def _needs(metadata: Mapping[str, Any]) -> frozenset[str]:
    value = metadata.get(CAPABILITIES_KEY)
    names = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else ()
    return frozenset(name.strip() for name in names if isinstance(name, str) and name.strip())


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return ""


@dataclass(frozen=True)
class RoutingRequest:
    """The part of a task that decides which agent gets it."""

    target: Target
    features: RequestFeatures
    tenant: str

    @classmethod
    def of(cls, task: NewTask | Task) -> RoutingRequest:
        return cls.of_request(task.request, task.tenant)

    @classmethod
    def of_request(cls, request: TaskRequest, tenant: str) -> RoutingRequest:
        return cls(request.target, RequestFeatures.of_request(request), tenant)

    def fits(self, agent: AgentInfo) -> bool:
        """Whether a slot at this agent could serve the request."""
        if agent.tenant is not None and agent.tenant != self.tenant:
            return False
        name = self.target.name
        if self.target.kind == "pool":
            return POOL_ALIASES.get(name, name) == agent.pool
        return self.target.kind == "auto" or name in (agent.agent_id, agent.manifest)
