"""The fact log as people and programs read it: in pages, as it goes on, and only what somebody asks for.

A cursor is a place between two facts. Reading on from it gives the facts after it, reading back those before it, in
any replica, so that one that a page or a stream ended with is where the next begins.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ossa.contracts.errors import InvalidRequest
from ossa.contracts.events import Event, FactLog, LogItem
from ossa.events.consumer import matches, may_be_of_tasks

ROWS_AT_ONCE = 500
MOST_ROWS = 5_000
"""The most rows of the log that one page looks at; more would keep others waiting."""

MARGIN = timedelta(seconds=60)
"""By so much the times of neighbouring facts may be in another order than the facts."""

_CURSOR = re.compile(r"f([0-9a-f]{1,15})")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PROBED = 16


def cursor_of(offset: int) -> str:
    """The cursor of the place before this offset."""
    return f"f{offset:x}"


def offset_of(cursor: str, *, param: str) -> int:
    """Raises `InvalidRequest` for what is no cursor."""
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidRequest(
            f"{param}: {cursor[:64]!r} is no cursor; take `next` or `follow` of a page, or the id of a streamed fact.",
            param=param,
        )
    return int(match[1], 16)


def time_of(text: str, *, param: str, now: datetime | None = None) -> datetime:
    """A point in time: RFC 3339 with an offset, or how long ago (`15m`). Raises `InvalidRequest`."""
    if match := _DURATION.fullmatch(text):
        try:
            return (now or datetime.now(UTC)) - timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
        except OverflowError:
            pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidRequest(
            f"{param}: {text[:64]!r} is no time; write 2026-01-31T12:00:00Z, or how long ago: 90s, 15m, 2h, 7d.",
            param=param,
        )
    return time


@dataclass(frozen=True)
class FactFilter:
    """Which facts somebody asks for, and may see.

    Attributes:
        tenant: facts of this tenant alone, under the rights of one; None: all.
        types: types, or beginnings of types that end with a dot; empty: all.
        allowed: beginnings of types that the reader may see; empty: all.
        agent: an agent's id: facts about it, and facts that name it.
        subject: exactly that of the fact (`agent/intelligence-003`, or a task's id).
        actor: exactly that of the fact (`key/ID`, `agent/ID`, `system/PART`).
    """

    tenant: str | None = None
    types: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    agent: str = ""
    subject: str = ""
    actor: str = ""
    request_id: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def tasks(self) -> bool:
        """Whether any fact of a task may be among them."""
        # A task's subject is its id.
        return "/" not in self.subject and may_be_of_tasks(self.types) and may_be_of_tasks(self.allowed)

    def takes(self, event: Event) -> bool:
        return (
            matches(event.type, self.types)
            and matches(event.type, self.allowed)
            and (not self.agent or event.subject == f"agent/{self.agent}" or event.data.get("agent") == self.agent)
            and self.subject in ("", event.subject)
            and self.actor in ("", event.actor)
            and self.request_id in ("", event.requestid)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
        )


@dataclass(frozen=True)
class FactPage:
    """Facts with their offsets.

    Attributes:
        next: the offset to read on from, or back from; None: there is nothing more now.
        follow: the offset after the newest place that was looked at: what comes later begins there.
    """

    facts: tuple[tuple[int, Event], ...]
    next: int | None
    follow: int


async def newest(log: FactLog, wanted: FactFilter, *, before: int | None, limit: int) -> FactPage:
    """The last facts before an offset, or of all, newest first. Raises `StoreUnavailable`."""
    if before is None:
        before = await log.settled()
        if wanted.until is not None:
            before = min(before, await offset_at(log, wanted.until + MARGIN))
    follow, rows = before, 0
    facts: list[tuple[int, Event]] = []
    while before and rows < MOST_ROWS:
        at_once = _at_once(limit)
        page = await log.read_back(before, limit=at_once, tenant=wanted.tenant, tasks=wanted.tasks)
        for item in page.items:
            if isinstance(item.content, Event) and wanted.takes(item.content):
                facts.append((item.offset, item.content))
                if len(facts) == limit:
                    return FactPage(tuple(facts), item.offset, follow)
        if _all(page.items, before=wanted.since and wanted.since - MARGIN):
            return FactPage(tuple(facts), None, follow)
        before, rows = page.end, rows + at_once
    return FactPage(tuple(facts), before or None, follow)


async def oldest(log: FactLog, wanted: FactFilter, *, after: int | None, limit: int) -> FactPage:
    """The first facts after an offset, or of all, oldest first. Raises `StoreUnavailable`."""
    if after is None:
        after = await start_of(log, wanted)
    facts: list[tuple[int, Event]] = []
    rows = 0
    while rows < MOST_ROWS:
        at_once = _at_once(limit)
        page = await log.read(after, limit=at_once, tenant=wanted.tenant, tasks=wanted.tasks)
        for item in page.items:
            if isinstance(item.content, Event) and wanted.takes(item.content):
                facts.append((item.offset, item.content))
                if len(facts) == limit:
                    return FactPage(tuple(facts), item.offset + 1, item.offset + 1)
        after, rows = page.end, rows + at_once
        if after >= await log.settled() or _all(page.items, after=wanted.until and wanted.until + MARGIN):
            return FactPage(tuple(facts), None, after)
    return FactPage(tuple(facts), after, after)


async def start_of(log: FactLog, wanted: FactFilter) -> int:
    """The offset where reading forward begins: with the oldest fact that is kept, or that `since` lets through."""
    return 0 if wanted.since is None else await offset_at(log, wanted.since - MARGIN)


async def follow(
    log: FactLog, wanted: FactFilter, after: int, *, within_s: float
) -> AsyncGenerator[tuple[int, Event | None]]:
    """For ever: facts with the offset to go on from after each, and (offset, None) after each `within_s` seconds
    and each stretch of the log that holds none. Raises `StoreUnavailable`.
    """
    while True:
        page = await log.read(after, limit=ROWS_AT_ONCE, tenant=wanted.tenant, tasks=wanted.tasks)
        for item in page.items:
            if isinstance(item.content, Event) and wanted.takes(item.content):
                yield item.offset + 1, item.content
        after = page.end
        yield after, None
        await log.wait(after, within_s=within_s)


async def offset_at(log: FactLog, time: datetime) -> int:
    """An offset before all facts that were written from that time on. Raises `StoreUnavailable`."""
    low, high = 0, await log.settled()
    while low < high:
        middle = (low + high) // 2
        written, end = await _written(log, middle, high)
        if written is None or written >= time:
            high = middle
        else:
            low = max(end, middle + 1)
    return low


async def _written(log: FactLog, offset: int, high: int) -> tuple[datetime | None, int]:
    """The latest time of a few facts from the offset on, and the offset after them; None: there is no fact."""
    while offset < high:
        page = await log.read(offset, limit=_PROBED)
        offset = page.end
        times = [item.content.time for item in page.items if isinstance(item.content, Event)]
        if times:
            return max(times), offset
    return None, offset


def _at_once(limit: int) -> int:
    return min(ROWS_AT_ONCE, max(50, limit))


def _all(items: Sequence[LogItem], *, before: datetime | None = None, after: datetime | None = None) -> bool:
    """Whether there are facts, and all of them are before, or after, a time."""
    times = [item.content.time for item in items if isinstance(item.content, Event)]
    if not times or (before is None and after is None):
        return False
    return (before is None or max(times) < before) and (after is None or min(times) > after)
