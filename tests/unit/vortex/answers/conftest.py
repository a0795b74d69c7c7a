"""A cache over the index in memory, with a clock that is told the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from ossa.contracts.answers import Answered, Asked, Hit, KeptAnswer, Refusal
from ossa.contracts.configuration import AnswerSettings
from ossa.testing.stores.tiers import MemoryVectors
from ossa.vortex.answers.cache import SCHEMA, AnswerCache
from ossa.vortex.vectors import word_vectors


def vectorise(text: str) -> list[float]:
    found: list[float] = word_vectors().of_question(text).tolist()
    return found


def asked(question: str, **fields: str) -> Asked:
    return Asked(**{"tenant": "acme", "agent": "helper", "scope": "s1", "question": question, **fields})


def answered(text: str = "Yes.", **fields: Any) -> Answered:
    message = fields.pop("message", {"role": "assistant", "content": text})
    finish_reason = fields.pop("finish_reason", "stop")
    return Answered(answer=KeptAnswer(message=message, finish_reason=finish_reason), **fields)


@dataclass
class Rig:
    settings: AnswerSettings = field(
        default_factory=lambda: AnswerSettings(enabled=True, tenants=("*",), lifetime_s=60, deadline_s=5)
    )
    now: float = 1_000_000.0

    def __post_init__(self) -> None:
        self.index = MemoryVectors(SCHEMA)
        self.cache = AnswerCache(self.index, self.settings, vectorise=vectorise, now=lambda: self.now)

    async def keep(self, question: str, text: str = "Yes.", **fields: str) -> Refusal | None:
        return await self.cache.keep(asked(question, **fields), answered(text))

    async def look_up(self, question: str, **fields: str) -> Hit | None:
        return await self.cache.look_up(asked(question, **fields))


@pytest.fixture
def rig() -> Rig:
    return Rig()
