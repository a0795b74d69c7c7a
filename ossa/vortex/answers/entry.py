"""Which answers may be kept, and how they are stored in the index. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from uuid import UUID

from pydantic import ValidationError

from ossa.contracts.answers import Answered, Asked, KeptAnswer, Refusal
from ossa.contracts.configuration import AnswerSettings
from ossa.contracts.value import Value
from ossa.contracts.vectors import Found, Point, VectorSchema, Where
from ossa.vortex.vectors import DIMENSIONS


def refusal(asked: Asked, answered: Answered, settings: AnswerSettings) -> Refusal | None:
    """Returns the first reason not to keep the answer; None when it may be kept."""
    message = answered.answer.message
    text = message.get("content")
    hot = answered.temperature is not None and answered.temperature > settings.max_temperature
    reasons: list[tuple[Refusal, bool]] = [
        ("not_opted_in", not settings.take(asked.tenant, asked.agent)),
        ("no_question", not asked.question.strip()),
        ("failed", answered.failed),
        ("tool_calls", bool(message.get("tool_calls") or message.get("function_call"))),
        ("effects", answered.tool_effects),
        ("incomplete", not answered.complete or answered.answer.finish_reason != "stop"),
        ("temperature", hot and not answered.asked_for),
        ("empty", not isinstance(text, str) or not text.strip()),
        ("too_long", isinstance(text, str) and len(text) > settings.max_answer_chars),
    ]
    return next((reason for reason, holds in reasons if holds), None)


_LAID_OUT = re.compile(r"[^\S ]|[\"`“”]")
_BLANKS = re.compile(" +")

SCHEMA = VectorSchema(
    name="ossa_answers",
    dimensions=DIMENSIONS,
    keywords=("tenant", "agent", "room", "documents"),
    numbers=("kept_at", "expires_at"),
)


class Entry(Value):
    """`room` is a digest of tenant, agent and scope: answers of two rooms never meet. Times are Unix seconds."""

    tenant: str
    agent: str
    room: str
    question: str
    documents: tuple[str, ...] = ()
    kept_at: float
    expires_at: float
    answer: KeptAnswer


def normalised(question: str) -> str:
    """The question as it is compared for an exact hit.

    Blanks are how a line of prose is typed. In code, YAML, a diff or a quotation they are part of what is asked: a
    question of several lines, with a tab or with quotes keeps them.
    """
    stripped = question.strip()
    if _LAID_OUT.search(stripped):
        return question.strip("\r\n")
    return _BLANKS.sub(" ", stripped)


def room_of(asked: Asked) -> str:
    return _digest("room", asked.tenant, asked.agent, asked.scope).hex()


def id_of(asked: Asked) -> str:
    """Names the only entry of a question in its room."""
    name = _digest("entry", asked.tenant, asked.agent, asked.scope, normalised(asked.question))
    return str(UUID(bytes=name[:16]))


def place_of(asked: Asked) -> Where:
    """Names the tenant beside the room, whose digest holds it already: two locks on one door."""
    return {"tenant": key_of(asked.tenant), "room": room_of(asked)}


def key_of(name: str) -> str:
    """Digests the name of a tenant, agent or document: any text is bounded, and no log of the engine shows it."""
    return _digest("name", name).hex()[:32]


def point_of(asked: Asked, answered: Answered, vector: tuple[float, ...], *, now: float, lifetime_s: float) -> Point:
    entry = Entry(
        tenant=key_of(asked.tenant),
        agent=key_of(asked.agent),
        room=room_of(asked),
        question=asked.question,
        documents=tuple(key_of(name) for name in answered.documents),
        kept_at=now,
        expires_at=now + lifetime_s,
        answer=answered.answer,
    )
    return Point(id=id_of(asked), vector=vector, payload=entry.model_dump(mode="json"))


def entry_of(found: Found, asked: Asked, *, now: float) -> Entry | None:
    """Returns None for what may not be served: another's, too old, or not written by this version."""
    try:
        entry = Entry.model_validate(found.payload)
    except ValidationError:
        return None
    ours = entry.tenant == key_of(asked.tenant) and entry.room == room_of(asked)
    return entry if ours and now < entry.expires_at else None


def _digest(*parts: str) -> bytes:
    """Digests the parts as JSON, so that no two lists of parts read alike."""
    return hashlib.sha256(json.dumps(parts).encode()).digest()
