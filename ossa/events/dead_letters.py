"""What a consumer could not handle: kept on a topic of its own as it came, listed, and put back when asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from ossa.contracts.errors import BusUnavailable, InvalidRequest
from ossa.contracts.events import EventBus, Message, Received, Subscription
from ossa.contracts.value import Value
from ossa.events.messages import event_of

MOST_CHARS = 500
"""The most characters of an error's message, which may quote what it could not read."""

FOR_GROUP = "for-group"
"""Header of a message that is put back: the group that could not handle it. Others pass it over."""

_WAIT_S = 2.0
_SILENCES = 5
_AT_ONCE = 500
_OWN = "ossa-"


class DeadLetter(Value):
    """`tries` 0: it could not be read. `replays`: how often it was put back before."""

    event_id: str | None
    event_type: str | None
    tenant: str | None
    key: str
    error: str
    group: str
    topic: str
    partition: int
    offset: int
    tries: int
    replays: int
    at: datetime | None


def dead_letter_of(received: Received, dead_topic: str, *, group: str, error: Exception, tries: int) -> Message:
    """The message unchanged, and beside it who failed with what, where and when."""
    place = received.place
    headers = {
        **received.headers,
        "ossa-error": f"{type(error).__name__}: {error}"[:MOST_CHARS],
        "ossa-group": group,
        "ossa-topic": place.topic,
        "ossa-partition": str(place.partition),
        "ossa-offset": str(place.offset),
        "ossa-tries": str(tries),
        "ossa-at": datetime.now(UTC).isoformat(),
    }
    return Message(dead_topic, received.key, received.value, headers)


def replay_group(bus: EventBus) -> str:
    """Whose committed offsets say what was put back."""
    return f"{bus.status.dead_topic}.replay"


async def dead_letters(bus: EventBus, *, limit: int = 100) -> list[DeadLetter]:
    """The first that were not put back yet. Raises `BusUnavailable`."""
    subscription = await bus.read(bus.status.dead_topic, group=replay_group(bus))
    try:
        return [_shown(one) async for one in _waiting(bus, subscription, limit)]
    finally:
        await subscription.close()


async def replay(bus: EventBus, *, limit: int | None = None) -> int:
    """Put dead letters back on the topic they came from, in their order; how many.

    The group that could not handle a letter meets it again; other groups pass it over. An event that is put back comes
    after later ones of its key. Raises `BusUnavailable`; what was put back by then may be put back again.
    """
    subscription = await bus.read(bus.status.dead_topic, group=replay_group(bus))
    done = 0
    try:
        batch: list[Received] = []
        async for one in _waiting(bus, subscription, limit):
            batch.append(one)
            if len(batch) == _AT_ONCE:
                done += await _put_back(bus, subscription, batch)
                batch = []
        return done + await _put_back(bus, subscription, batch)
    finally:
        await subscription.close()


async def _put_back(bus: EventBus, subscription: Subscription, batch: list[Received]) -> int:
    if batch:
        await bus.publish([_as_it_was(bus, one) for one in batch])
        await subscription.commit([one.place for one in batch])
    return len(batch)


async def _waiting(bus: EventBus, subscription: Subscription, limit: int | None) -> AsyncIterator[Received]:
    """Those that are there now; what comes meanwhile (a replayed one that fails again) is for the next time."""
    lag = await bus.lag(replay_group(bus), topic=bus.status.dead_topic)
    ends = {one.partition: one.end for one in lag}
    left = sum(one.waiting for one in lag) if limit is None else min(limit, sum(one.waiting for one in lag))
    silences = 0
    while left > 0:
        found = await subscription.take(limit=min(left, _AT_ONCE), wait_s=_WAIT_S)
        silences = 0 if found else silences + 1
        if silences >= _SILENCES:
            raise BusUnavailable(f"{left} dead letters did not come.", retry_after_s=1.0)
        for one in found:
            if one.place.offset < ends.get(one.place.partition, 0):
                left -= 1
                yield one


def _as_it_was(bus: EventBus, received: Received) -> Message:
    headers = {name: value for name, value in received.headers.items() if not name.startswith(_OWN)}
    if group := received.headers.get("ossa-group"):
        headers[FOR_GROUP] = group
    headers["ossa-replays"] = str(_number(received, "ossa-replays", 0) + 1)
    return Message(received.headers.get("ossa-topic", bus.status.topic), received.key, received.value, headers)


def _shown(received: Received) -> DeadLetter:
    headers = received.headers
    try:
        event = event_of(received)
    except InvalidRequest:
        event = None
    return DeadLetter(
        event_id=event and event.id,
        event_type=event and event.type,
        tenant=event and event.tenant,
        key=received.key,
        error=headers.get("ossa-error", ""),
        group=headers.get("ossa-group", ""),
        topic=headers.get("ossa-topic", ""),
        partition=_number(received, "ossa-partition", -1),
        offset=_number(received, "ossa-offset", -1),
        tries=_number(received, "ossa-tries", 0),
        replays=_number(received, "ossa-replays", 0),
        at=_time(headers.get("ossa-at", "")),
    )


def _number(received: Received, name: str, default: int) -> int:
    """Headers are whatever somebody wrote."""
    text = received.headers.get(name, "")
    return int(text) if text.isdecimal() else default


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
