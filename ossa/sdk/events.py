"""What has happened: `client.events`."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, ClassVar

from ossa.contracts.errors import FleetBusy, NotReady, OssaError, StoreUnavailable
from ossa.contracts.events import Event as CloudEvent
from ossa.contracts.events import EventStatus
from ossa.resilience.server_sent import ServerEvent
from ossa.sdk.blocking import IO, Calls, call, stream
from ossa.sdk.errors import Unreachable
from ossa.sdk.exchange import Request, given, path_of
from ossa.sdk.received import Listing, Received, read

EVENTS = "/api/v1/events"
PAGE = 1000
_PAUSE_FIRST_S = 0.1
_PAUSE_LONGEST_S = 2.0
_AWAY = (Unreachable, NotReady, StoreUnavailable, FleetBusy)

Time = datetime | str
"""A time with its zone, or how long ago: `15m`."""


class Event(CloudEvent):
    """A fact: what happened to `subject`, when, by whom. `cursor` of a streamed one is what to go on after."""

    cursor: str = ""

    @property
    def outcome(self) -> str:
        """`succeeded`, `failed`, `refused` or `cancelled`; empty where the fact has none."""
        if self.data.get("failed"):
            return "failed"
        return str(self.data.get("outcome") or self.data.get("status") or "")

    @property
    def reason(self) -> str:
        """Why, in a few words; of a task's step its kind and tool."""
        named = (self.data.get(name) for name in ("reason", "error", "kind", "tool"))
        return " ".join(str(text) for text in named if text)


class Events(Listing[Event]):
    columns: ClassVar[tuple[str, ...]] = ("time", "type", "subject", "actor", "outcome", "reason")


class EventPage(Received):
    """`next` is the cursor of the next page, None on the last one; later facts come after `follow`."""

    data: tuple[Event, ...]
    next: str | None = None
    follow: str


class EventGroup(Received):
    """A consumer group of the fact log. `position` is the cursor that it goes on from."""

    group: str
    shards: int = 1
    members: tuple[str, ...] = ()
    waiting: int = 0
    position: str = ""
    waiting_since: datetime | None = None


class EventGroups(Listing[EventGroup]):
    columns: ClassVar[tuple[str, ...]] = ("group", "waiting", "waiting_since", "shards", "members")


class DeadLetter(Received):
    """A fact that a group could not handle. `tries` 0: it could not be read."""

    event_id: str | None = None
    event_type: str | None = None
    tenant: str | None = None
    key: str = ""
    error: str = ""
    group: str = ""
    offset: int = -1
    tries: int = 0
    replays: int = 0
    at: datetime | None = None


class DeadLetters(Listing[DeadLetter]):
    columns: ClassVar[tuple[str, ...]] = (
        "event_id",
        "event_type",
        "tenant",
        "group",
        "tries",
        "replays",
        "at",
        "error",
    )


class Replayed(Received):
    """How many dead letters were put back."""

    replayed: int


class EventCalls(Calls[IO]):
    """`client.events`. Calling it gives the status, as `status` does.

    Filters: `type` is a type or a beginning of types that ends with a dot, or several; `agent` an agent's id;
    `subject`, `actor` and `request_id` are compared whole; `since` and `until` are times, or how long ago (`15m`);
    `tenant` is for the operator's admins.
    """

    @call
    async def __call__(self) -> EventStatus:
        return await self._exchange.send(EventStatus, Request("GET", f"{EVENTS}/status"))

    @call
    async def status(self) -> EventStatus:
        """Returns what waits to be published, the state of the bus, and who reads the fact log."""
        return await self._exchange.send(EventStatus, Request("GET", f"{EVENTS}/status"))

    @call
    async def list(
        self,
        *,
        limit: int = 50,
        order: str = "desc",
        type: str | Sequence[str] = (),
        agent: str | None = None,
        subject: str | None = None,
        actor: str | None = None,
        request_id: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        tenant: str | None = None,
    ) -> Events:
        """Lists up to `limit` facts, newest first, from as many pages as it takes; `order="asc"`: oldest first."""
        filters = _filters(type, agent, subject, actor, request_id, since, until, tenant)
        events: builtins.list[Event] = []
        after: str | None = None
        while len(events) < limit:
            params = filters | given(after=after, order=order, limit=min(PAGE, limit - len(events)))
            page = await self._exchange.send(EventPage, Request("GET", EVENTS, params))
            events.extend(page.data)
            after = page.next
            if after is None:
                break
        return Events(events)

    @call
    async def page(
        self,
        *,
        after: str | None = None,
        limit: int = 50,
        order: str = "desc",
        type: str | Sequence[str] = (),
        agent: str | None = None,
        subject: str | None = None,
        actor: str | None = None,
        request_id: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        tenant: str | None = None,
    ) -> EventPage:
        """Returns one page; `after` is the `next` of the page before. It may be short and still have a `next`."""
        filters = _filters(type, agent, subject, actor, request_id, since, until, tenant)
        params = filters | given(after=after, order=order, limit=limit)
        return await self._exchange.send(EventPage, Request("GET", EVENTS, params))

    @stream
    async def stream(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        patience_s: float = 60.0,
        type: str | Sequence[str] = (),
        agent: str | None = None,
        subject: str | None = None,
        actor: str | None = None,
        request_id: str | None = None,
        since: Time | None = None,
        tenant: str | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Yields facts as they happen: from now on, after a cursor, or with what happened `since`; for ever without a
        `limit`.

        A connection that breaks is taken up where it broke, at whatever replica answers: nothing is missed or seen
        twice. Raises what went wrong once the fleet has been away for `patience_s` seconds; before the first answer
        after the usual retries.
        """
        filters = _filters(type, agent, subject, actor, request_id, since, None, tenant)
        if after is None and since is None:
            # The place is known before the first fact comes, so that a break in between loses none.
            params = filters | {"limit": 1}
            after = (await self._exchange.send(EventPage, Request("GET", EVENTS, params))).follow
        trail = _Trail(after, limit, patience_s)
        while not trail.ended:
            params = filters | trail.params()
            headers = {"Accept": "text/event-stream"}
            try:
                answer = await self._exchange.start(Request("GET", EVENTS, params, headers=headers))
                trail.answered()
                async with aclosing(self._exchange.events(answer)) as events:
                    async for event in events:
                        yield trail.take(event)
                if not trail.ended:
                    await self._exchange.io.sleep(_PAUSE_FIRST_S)
            except _AWAY as error:
                await self._exchange.io.sleep(trail.pause_or_raise(error))

    @call
    async def groups(self) -> EventGroups:
        """Lists the consumer groups of the fact log, by name."""
        return await self._exchange.send(EventGroups, Request("GET", path_of(EVENTS, "groups")))

    @call
    async def seek(self, group: str, to: str) -> EventGroup:
        """Puts a group to `oldest`, `newest`, a time, or a cursor. For the operator's admins. Raises `NotFound`."""
        request = Request("POST", path_of(EVENTS, "groups", group, "seek"), json={"to": to})
        return await self._exchange.send(EventGroup, request)

    @call
    async def dead(self, *, limit: int = 100) -> DeadLetters:
        """Lists the first facts that a group could not handle and that were not put back. For the operator's admins."""
        return await self._exchange.send(DeadLetters, Request("GET", path_of(EVENTS, "dead"), {"limit": limit}))

    @call
    async def replay(self, *, limit: int | None = None) -> int:
        """Puts dead letters back, all or the first `limit`; returns how many. For the operator's admins."""
        # Not repeatable: each time puts others back.
        request = Request("POST", path_of(EVENTS, "replay"), json=given(limit=limit), repeatable=False)
        return (await self._exchange.send(Replayed, request)).replayed


class _Trail:
    """How far one is in a stream, and how long it has been away."""

    def __init__(self, after: str | None, limit: int | None, patience_s: float) -> None:
        self._after = after
        self._left = limit
        self._patience_s = patience_s
        self._ever = False
        self._away_since: float | None = None
        self._pause_s = _PAUSE_FIRST_S

    @property
    def ended(self) -> bool:
        return self._left == 0

    def params(self) -> dict[str, str | int]:
        """What the next request says. A place that is known counts, and not `since`."""
        asked = None if self._left is None else min(PAGE, self._left)
        return given(stream="true", after=self._after, limit=asked)

    def answered(self) -> None:
        self._ever = True
        self._away_since, self._pause_s = None, _PAUSE_FIRST_S

    def take(self, event: ServerEvent) -> Event:
        self._after = event.id or self._after
        self._left = self._left if self._left is None else self._left - 1
        return read(Event, {**json.loads(event.text), "cursor": event.id})

    def pause_or_raise(self, error: OssaError) -> float:
        """Returns the seconds to wait before the next attempt. Raises the error where it has lasted too long."""
        now = time.monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if not self._ever or now - self._away_since >= self._patience_s:
            raise error
        pause_s = self._pause_s
        self._pause_s = min(_PAUSE_LONGEST_S, self._pause_s * 2)
        return pause_s


def _filters(
    type: str | Sequence[str],
    agent: str | None,
    subject: str | None,
    actor: str | None,
    request_id: str | None,
    since: Time | None,
    until: Time | None,
    tenant: str | None,
) -> dict[str, Any]:
    types = [type] if isinstance(type, str) else [*type]
    filters = given(agent=agent, subject=subject, actor=actor, request_id=request_id, tenant=tenant)
    return filters | given(type=types or None, since=_text(since), until=_text(until))


def _text(time: Time | None) -> str | None:
    return time.isoformat() if isinstance(time, datetime) else time
