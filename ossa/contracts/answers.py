"""The answer cache: what is asked of it, what it keeps, and what comes back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import Field

from ossa.contracts.task import Usage
from ossa.contracts.value import Value

Refusal = Literal[
    "not_opted_in",
    "no_question",
    "failed",
    "incomplete",
    "tool_calls",
    "effects",
    "temperature",
    "empty",
    "too_long",
    "unavailable",
]
"""Why an answer was not kept."""


class Asked(Value):
    """One question to one agent.

    Attributes:
        agent: the manifest's name, or the target a request named (`pool/NAME`, `auto`).
        scope: `ossa.vortex.answers.scope.scope_of` everything that shapes the answer beside the question.
        question: the last user message, as text.
    """

    tenant: str = Field(min_length=1)
    agent: str = Field(min_length=1)
    scope: str = Field(min_length=1)
    question: str


class KeptAnswer(Value):
    """What the agent said, and what that cost when it was asked first."""

    message: dict[str, Any]
    finish_reason: str = "stop"
    usage: Usage = Usage()
    logprobs: dict[str, Any] | None = Field(default=None, exclude_if=lambda value: value is None)
    model: str = ""


class Answered(Value):
    """An answer and how it came about, offered to the cache.

    Attributes:
        failed: the turn did not succeed.
        complete: the whole answer went out; False for a stream that broke.
        tool_effects: a tool ran in the turn that does more than read.
        temperature: as the request or the manifest had it; None: the model's own.
        asked_for: the caller wants it kept whatever the temperature.
        documents: names of the documents the answer rests on, for `Answers.forget`; their versions are in the scope.
    """

    answer: KeptAnswer
    failed: bool = False
    complete: bool = True
    tool_effects: bool = False
    temperature: float | None = None
    asked_for: bool = False
    documents: tuple[str, ...] = ()


class Hit(Value):
    """An answer that may be served.

    Attributes:
        kind: `exact` for the same question (but for blanks in a line of prose), `semantic` for one that asks the same.
        similarity: cosine of the two questions; 1 for an exact hit.
        likelihood: that both ask the same, by the second check; 1 for an exact hit.
        question: as it was asked then.
        age_s, expires_in_s: seconds since it was kept, and until it is served no more.
    """

    kind: Literal["exact", "semantic"]
    answer: KeptAnswer
    question: str
    similarity: float
    likelihood: float
    age_s: float
    expires_in_s: float


@dataclass
class AnswerCounters:
    """Since the cache began. `ossa_vortex_answers_*` are made of these."""

    exact_hits: int = 0
    semantic_hits: int = 0
    misses: int = 0
    refused_by_check: int = 0
    failures: int = 0
    stored: int = 0
    not_stored: Counter[str] = field(default_factory=Counter)
    evicted: int = 0
    swept: int = 0
    forgotten: int = 0
    look_ups: int = 0
    look_up_ms: float = 0.0


class Answers(Protocol):
    """The cache as the request path sees it. Of these `forget` alone raises for an index that is away."""

    async def look_up(self, asked: Asked) -> Hit | None:
        """None for a miss, and when there is no answer in time."""

    async def keep(self, asked: Asked, answered: Answered) -> Refusal | None:
        """None when it was kept."""

    async def forget(self, tenant: str, *, agent: str | None = None, document: str | None = None) -> int:
        """Drop a tenant's answers, or those of an agent, or those that rest on a document. Returns how many.

        Raises `StoreUnavailable`.
        """
