"""`ossa events ... --kafka`: what lies in Kafka, which it talks to itself, as the settings name it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from ossa.cli.session import Session
from ossa.cli.terminal import Terminal
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.events import EventBus, Received

if TYPE_CHECKING:
    from ossa.events.dead_letters import DeadLetter

T = TypeVar("T")

LAG_COLUMNS = ("topic", "partition", "committed", "end", "waiting")
DEAD_COLUMNS = ("event", "type", "tenant", "group", "tries", "replays", "at", "error")
_WAIT_S = 1.0


def lag(session: Session, group: str) -> None:
    """Prints how far a group is behind, by partition."""
    partitions = _with_bus(session, lambda bus: bus.lag(group))
    waiting = sum(partition.waiting for partition in partitions)
    rows = [{name: getattr(partition, name) for name in LAG_COLUMNS} for partition in partitions]
    if session.as_json:
        session.terminal.json({"group": group, "waiting": waiting, "partitions": rows})
    else:
        behind = [tuple(row.values()) for row in rows if row["waiting"]]
        session.terminal.table(LAG_COLUMNS, behind)
        session.terminal.note(f"{waiting} messages wait for {group}, in {len(behind)} of {len(rows)} partitions.")


def dead(session: Session, *, limit: int) -> None:
    """Prints the first dead letters that were not put back."""
    from ossa.events.dead_letters import dead_letters

    letters = _with_bus(session, lambda bus: dead_letters(bus, limit=limit))
    if session.as_json:
        session.terminal.json(letters)
    else:
        session.terminal.table(DEAD_COLUMNS, [_dead_row(letter) for letter in letters])


def replay(session: Session, *, limit: int | None) -> int:
    """Puts dead letters back on their topic; returns how many."""
    from ossa.events.dead_letters import replay as put_back

    return _with_bus(session, lambda bus: put_back(bus, limit=limit))


def tail(session: Session, *, from_beginning: bool, limit: int | None) -> None:
    """Prints events as they come. It joins no group, and takes events from nobody."""

    async def follow(bus: EventBus) -> None:
        left = limit
        subscription = await bus.read(bus.status.topic, newest=not from_beginning)
        try:
            while left is None or left > 0:
                for received in await subscription.take(limit=min(left or 100, 100), wait_s=_WAIT_S):
                    _print(session.terminal, received)
                    left = left if left is None else left - 1
        finally:
            await subscription.close()

    _with_bus(session, follow)


def _dead_row(letter: DeadLetter) -> tuple[object, ...]:
    named = (letter.event_id or letter.key, letter.event_type, letter.tenant)
    return (*named, letter.group, letter.tries, letter.replays, letter.at, letter.error)


def _print(terminal: Terminal, received: Received) -> None:
    """Prints an event. A message that is not one is shown as such."""
    from ossa.events.messages import event_of

    try:
        event = event_of(received)
    except InvalidRequest as error:
        place = received.place
        shown = {"topic": place.topic, "partition": place.partition, "offset": place.offset, "error": error.message}
        terminal.json(shown) if terminal.as_json else terminal.text("  ".join(map(str, shown.values())))
        return
    if terminal.as_json:
        terminal.json(event.model_dump(mode="json"))
    else:
        gist = "  ".join(str(event.data[key]) for key in ("kind", "tool", "agent", "status") if event.data.get(key))
        terminal.text(f"{event.time:%H:%M:%S.%f}  {event.tenant}  {event.id}  {event.type}  {gist}")


def _with_bus(session: Session, work: Callable[[EventBus], Awaitable[T]]) -> T:
    async def run() -> T:
        bus = session.wiring.bus()
        try:
            return await work(bus)
        finally:
            await bus.close()

    return asyncio.run(run())
