"""The answer cache: looking answers up, keeping, forgetting and sweeping them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter, time
from uuid import UUID

from pydantic import ValidationError

from ossa.contracts.answers import AnswerCounters, Answered, Asked, Hit, KeptAnswer, Refusal
from ossa.contracts.configuration import AnswerSettings
from ossa.contracts.errors import OssaError
from ossa.contracts.value import Value
from ossa.contracts.vectors import Below, Found, Point, VectorIndex, VectorSchema, Where
from ossa.vortex.answers.agreement import MAX_CHARS, judgeable, likelihood
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


def entry_of(point: Found, asked: Asked, *, now: float) -> Entry | None:
    """Returns None for what may not be served: another's, too old, or not written by this version."""
    try:
        entry = Entry.model_validate(point.payload)
    except ValidationError:
        return None
    ours = entry.tenant == key_of(asked.tenant) and entry.room == room_of(asked)
    return entry if ours and now < entry.expires_at else None


def _digest(*parts: str) -> bytes:
    """Digests the parts as JSON, so that no two lists of parts read alike."""
    return hashlib.sha256(json.dumps(parts).encode()).digest()


log = logging.getLogger(__name__)

Vectorise = Callable[[str], Sequence[float]]

CANDIDATES = 8
SWEEP_S = 300.0
KEEP_S = 5.0
"""Storing an answer is off the request's path, and may take so long."""

SPARE = 0.05
"""A full tenant loses this share of its room besides, so that not every new answer drops another."""


class AnswerCache:
    """`ossa.contracts.answers.Answers` over an index of vectors, for one event loop.

    `start` opens the index and begins to sweep it of what is too old; `stop` ends both.

    Args:
        vectorise: a question's vector, of length 1; of length 0 for a text without words.
        now: Unix seconds.
        sweep_s: time between two sweeps.
    """

    def __init__(
        self,
        index: VectorIndex,
        settings: AnswerSettings,
        *,
        vectorise: Vectorise,
        now: Callable[[], float] = time,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self.counters = AnswerCounters()
        self._index = index
        self._settings = settings
        self._vectorise = vectorise
        self._now = now
        self._kept: dict[str, int] = {}
        self._sweep_s = sweep_s
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises `StoreUnavailable`, `Conflict`."""
        await self._index.open()
        self._vectorise("the first one loads the vectors")
        self._sweeping = asyncio.create_task(self._sweep_forever(), name="answers-sweep")

    async def stop(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._index.close()

    async def look_up(self, asked: Asked) -> Hit | None:
        if not self._settings.take(asked.tenant, asked.agent) or not asked.question.strip():
            return None
        began = perf_counter()
        hit: Hit | None = None
        async with self._bounded(self._settings.deadline_s, "answer_look_up_failed"):
            hit = await self._exact(asked) or await self._semantic(asked)
        self._count(hit, (perf_counter() - began) * 1000)
        return hit

    async def keep(self, asked: Asked, answered: Answered) -> Refusal | None:
        reason = refusal(asked, answered, self._settings)
        if reason is None:
            reason = "unavailable"
            async with self._bounded(KEEP_S, "answer_not_kept"):
                await self._keep(asked, answered)
                reason = None
        if reason is None:
            self.counters.stored += 1
        else:
            self.counters.not_stored[reason] += 1
        return reason

    async def forget(self, tenant: str, *, agent: str | None = None, document: str | None = None) -> int:
        where = {"tenant": key_of(tenant)}
        if agent is not None:
            where["agent"] = key_of(agent)
        if document is not None:
            where["documents"] = key_of(document)
        count = await self._index.count(where)
        await self._index.delete_where(where)
        self._kept.pop(where["tenant"], None)
        self.counters.forgotten += count
        return count

    async def sweep(self) -> int:
        """Drop what is too old to be served. Returns how many. Raises `StoreUnavailable`."""
        old = Below(field="expires_at", value=self._now())
        count = await self._index.count({}, below=old)
        if count:
            await self._index.delete_where({}, below=old)
            self._kept.clear()
        self.counters.swept += count
        return count

    async def _sweep_forever(self) -> None:
        while True:
            try:
                swept = await self.sweep()
            except OssaError as error:
                log.warning("answers_not_swept", extra={"reason": str(error)[:200]})
            except Exception:
                log.exception("sweeping_answers_failed")
            else:
                if swept:
                    log.info("answers_swept", extra={"count": swept})
            await asyncio.sleep(self._sweep_s)

    async def _exact(self, asked: Asked) -> Hit | None:
        for point in await self._index.fetch([id_of(asked)]):
            entry = entry_of(point, asked, now=self._now())
            if entry is not None and normalised(entry.question) == normalised(asked.question):
                return self._hit("exact", entry, 1.0, 1.0)
        return None

    async def _semantic(self, asked: Asked) -> Hit | None:
        vector = self._vector(asked.question)
        if vector is None or self._settings.threshold >= 1 or not judgeable(asked.question):
            return None
        near = await self._index.search(
            vector, where=place_of(asked), limit=CANDIDATES, least_score=self._settings.threshold
        )
        return self._best(asked, near)

    def _best(self, asked: Asked, near: Sequence[Found]) -> Hit | None:
        """Returns the likeliest of the candidates that pass the second check."""
        best: Hit | None = None
        alive = [
            (entry, point.score) for point in near if (entry := entry_of(point, asked, now=self._now())) is not None
        ]
        for entry, cosine in alive:
            chance = likelihood(asked.question, entry.question, cosine)
            if chance >= self._settings.likelihood and (best is None or chance > best.likelihood):
                best = self._hit("semantic", entry, cosine, chance)
        self.counters.refused_by_check += bool(alive and best is None)
        return best

    def _hit(self, kind: str, entry: Entry, similarity: float, likely: float) -> Hit:
        now = self._now()
        return Hit(
            kind="exact" if kind == "exact" else "semantic",
            answer=entry.answer,
            question=entry.question,
            similarity=min(1.0, round(similarity, 4)),
            likelihood=round(likely, 4),
            age_s=max(0.0, now - entry.kept_at),
            expires_in_s=entry.expires_at - now,
        )

    async def _keep(self, asked: Asked, answered: Answered) -> None:
        vector = self._vector(asked.question) or _nowhere(len(self._vectorise("nowhere")))
        lifetime_s = self._settings.lifetime_s
        await self._index.upsert([point_of(asked, answered, vector, now=self._now(), lifetime_s=lifetime_s)])
        await self._make_room({"tenant": key_of(asked.tenant)})

    async def _make_room(self, where: Where) -> None:
        """Drops the oldest answers of a full tenant. Counts in the engine only when the tenant may be full."""
        tenant = str(where["tenant"])
        bound = self._settings.max_entries_per_tenant
        kept = self._kept.get(tenant, bound) + 1
        if kept > bound:
            kept = await self._index.count(where)
        if kept > bound:
            surplus = kept - bound + int(bound * SPARE)
            oldest = await self._index.oldest(where, by="kept_at", limit=surplus)
            await self._index.delete([point.id for point in oldest])
            self.counters.evicted += len(oldest)
            kept -= len(oldest)
        self._kept[tenant] = kept

    def _vector(self, question: str) -> tuple[float, ...] | None:
        vector = tuple(float(value) for value in self._vectorise(question[:MAX_CHARS]))
        return vector if any(vector) else None

    @asynccontextmanager
    async def _bounded(self, deadline_s: float, event: str) -> AsyncIterator[None]:
        """Counts and logs what fails or is late: no request fails with the cache."""
        try:
            async with asyncio.timeout(deadline_s):
                yield
        except (OssaError, TimeoutError) as error:
            self.counters.failures += 1
            log.warning(event, extra={"reason": str(error)[:200] or type(error).__name__})
        except Exception:
            self.counters.failures += 1
            log.exception(event)

    def _count(self, hit: Hit | None, took_ms: float) -> None:
        self.counters.look_ups += 1
        self.counters.look_up_ms += took_ms
        if hit is None:
            self.counters.misses += 1
        elif hit.kind == "exact":
            self.counters.exact_hits += 1
        else:
            self.counters.semantic_hits += 1


def _nowhere(dimensions: int) -> tuple[float, ...]:
    """Returns the vector of a question without words, which is found exactly or not at all."""
    return (1.0, *([0.0] * (dimensions - 1)))
