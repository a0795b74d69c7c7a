"""`ossa events`. `status` asks the fleet; the others talk to Kafka, as the settings name it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ossa.cli.session import Session, fleet_command, group, local_command
from ossa.cli.terminal import ExitCode, Terminal
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.events import EventBus, EventStatus, Received

if TYPE_CHECKING:
    from ossa.events.dead_letters import DeadLetter

app = group("See events on their way, and put back those that failed.")

T = TypeVar("T")

LAG_COLUMNS = ("topic", "partition", "committed", "end", "waiting")
DEAD_COLUMNS = ("event", "type", "tenant", "group", "tries", "replays", "at", "error")
_WAIT_S = 1.0


@app.command(epilog="Example: ossa events status --json | jq .outbox")
@fleet_command
def status(session: Session) -> None:
    """Show what waits to be published, and the bus. Exit code 1 when events are on and cannot be published."""
    status = session.client.events()
    if session.as_json:
        session.terminal.json(status)
    else:
        _show(session.terminal, status)
    if status.trouble:
        raise typer.Exit(ExitCode.FAILED)


@app.command(epilog="Example: ossa events lag audit")
@local_command
def lag(session: Session, group: Annotated[str, typer.Argument(help="The consumer group.")]) -> None:
    """Show how far a consumer group is behind, by partition. Partitions with nothing waiting are left out."""
    partitions = _with_bus(session, lambda bus: bus.lag(group))
    waiting = sum(partition.waiting for partition in partitions)
    rows = [{name: getattr(partition, name) for name in LAG_COLUMNS} for partition in partitions]
    if session.as_json:
        session.terminal.json({"group": group, "waiting": waiting, "partitions": rows})
    else:
        behind = [tuple(row.values()) for row in rows if row["waiting"]]
        session.terminal.table(LAG_COLUMNS, behind)
        session.terminal.note(f"{waiting} messages wait for {group}, in {len(behind)} of {len(rows)} partitions.")


@app.command(epilog="Example: ossa events dead --limit 20")
@local_command
def dead(
    session: Session,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, at most.")] = 100,
) -> None:
    """List events that a consumer could not handle and that were not put back."""
    from ossa.events.dead_letters import dead_letters

    letters = _with_bus(session, lambda bus: dead_letters(bus, limit=limit))
    if session.as_json:
        session.terminal.json(letters)
    else:
        session.terminal.table(DEAD_COLUMNS, [_dead_row(letter) for letter in letters])


@app.command(epilog="Example: ossa events replay --limit 1")
@local_command
def replay(
    session: Session,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="How many, at most; the first ones.")] = None,
) -> None:
    """Put dead letters back on their topic, for every group; groups that have handled one skip it."""
    from ossa.events.dead_letters import replay as put_back

    count = _with_bus(session, lambda bus: put_back(bus, limit=limit))
    session.terminal.result({"replayed": count}, note=f"{count} put back.")


@app.command(epilog="Example: ossa events tail --from-beginning --limit 10")
@local_command
def tail(
    session: Session,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest event; else with the next one.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Stop after so many; else at Ctrl-C.")] = None,
) -> None:
    """Show events as they come. It joins no group, and takes events from nobody."""

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


def _show(terminal: Terminal, status: EventStatus) -> None:
    if not status.telling or status.bus is None:
        terminal.note("Events are off: set OSSA_EVENTS__BOOTSTRAP_SERVERS, or OSSA_EVENTS__MOCK=true to try it.")
        return
    columns = ("bus", "address", "topic", "waiting", "oldest_s", "published")
    bus, outbox = status.bus, status.outbox
    terminal.table(columns, [
        (bus.kind, bus.address, bus.topic, outbox.rows, f"{outbox.oldest_s:.1f}", status.published)
    ])  # fmt: skip
    if status.groups:
        terminal.table(("group", "waiting"), list(status.groups.items()))
    for remark in bus.remarks:
        terminal.note(remark)
    if status.trouble:
        terminal.note(f"Not published: {status.trouble}")


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
