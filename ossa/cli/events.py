"""`ossa events`. `status` asks the fleet; the others talk to Kafka, as the settings name it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ossa.cli import options
from ossa.cli.exit_code import ExitCode
from ossa.cli.session import connected, reporting, wiring
from ossa.cli.terminal import Terminal
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.event_status import EventStatus
from ossa.contracts.events import EventBus, PartitionLag, Received

if TYPE_CHECKING:
    from ossa.events.dead_letters import DeadLetter

app = typer.Typer(help="See events on their way, and put back those that failed.", no_args_is_help=True,
                  rich_markup_mode=None)  # fmt: skip

T = TypeVar("T")

LAG_COLUMNS = ("topic", "partition", "committed", "end", "waiting")
DEAD_COLUMNS = ("event", "type", "tenant", "group", "tries", "replays", "at", "error")
_WAIT_S = 1.0


@app.command(epilog="Example: ossa events status --json | jq .outbox")
def status(
    context: typer.Context, url: options.Url = None, api_key: options.ApiKey = None, as_json: options.Json = False
) -> None:
    """Show what waits to be published, and the bus. Exit code 1 when events are told and cannot be published."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        found = client.events()
        terminal.json(found) if as_json else _show(terminal, found)
    if found.trouble:
        raise typer.Exit(ExitCode.FAILED)


@app.command(epilog="Example: ossa events lag audit")
def lag(
    context: typer.Context,
    group: Annotated[str, typer.Argument(help="The consumer group.")],
    as_json: options.Json = False,
) -> None:
    """Show how far a consumer group is behind, by partition; those without anything waiting are left out."""
    with reporting(as_json=as_json) as terminal:
        found = _with_bus(context, lambda bus: bus.lag(group))
        waiting = sum(one.waiting for one in found)
        if as_json:
            terminal.json({"group": group, "waiting": waiting, "partitions": [_partition(one) for one in found]})
        else:
            behind = [one for one in found if one.waiting]
            terminal.table(LAG_COLUMNS, [tuple(_partition(one).values()) for one in behind])
            terminal.note(f"{waiting} messages wait for {group}, in {len(behind)} of {len(found)} partitions.")


@app.command(epilog="Example: ossa events dead --limit 20")
def dead(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 100,
    as_json: options.Json = False,
) -> None:
    """List events that a consumer could not handle and that were not put back."""
    with reporting(as_json=as_json) as terminal:
        from ossa.events.dead_letters import dead_letters

        found = _with_bus(context, lambda bus: dead_letters(bus, limit=limit))
        if as_json:
            terminal.json([one.model_dump(mode="json") for one in found])
        else:
            terminal.table(DEAD_COLUMNS, [_dead_row(one) for one in found])


@app.command(epilog="Example: ossa events replay --limit 1")
def replay(
    context: typer.Context,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many, the first ones.")] = None,
    as_json: options.Json = False,
) -> None:
    """Put dead letters back on the topic they came from, for every group; who was done with one knows it."""
    with reporting(as_json=as_json) as terminal:
        from ossa.events.dead_letters import replay as put_back

        done = _with_bus(context, lambda bus: put_back(bus, limit=limit))
        terminal.json({"replayed": done}) if as_json else terminal.note(f"{done} put back.")


@app.command(epilog="Example: ossa events tail --from-beginning --limit 10")
def tail(
    context: typer.Context,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Else from now on.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="End after so many; else Ctrl-C does.")] = None,
    as_json: options.Json = False,
) -> None:
    """Show events as they come. It is in no group, and takes them from nobody."""
    with reporting(as_json=as_json) as terminal:

        async def follow(bus: EventBus) -> None:
            left = limit
            subscription = await bus.read(bus.status.topic, newest=not from_beginning)
            try:
                while left is None or left > 0:
                    for one in await subscription.take(limit=min(left or 100, 100), wait_s=_WAIT_S):
                        _print(terminal, one)
                        left = left if left is None else left - 1
            finally:
                await subscription.close()

        _with_bus(context, follow)


def _show(terminal: Terminal, found: EventStatus) -> None:
    if not found.telling or found.bus is None:
        terminal.note("No events are told: set OSSA_EVENTS__BOOTSTRAP_SERVERS, or OSSA_EVENTS__MOCK=true to try it.")
        return
    columns = ("bus", "address", "topic", "waiting", "oldest_s", "published")
    bus, outbox = found.bus, found.outbox
    terminal.table(columns, [
        (bus.kind, bus.address, bus.topic, outbox.rows, f"{outbox.oldest_s:.1f}", found.published)
    ])  # fmt: skip
    if found.groups:
        terminal.table(("group", "waiting"), list(found.groups.items()))
    for remark in bus.remarks:
        terminal.note(remark)
    if found.trouble:
        terminal.note(f"Not published: {found.trouble}")


def _dead_row(one: DeadLetter) -> tuple[object, ...]:
    named = (one.event_id or one.key, one.event_type, one.tenant)
    return (*named, one.group, one.tries, one.replays, one.at, one.error)


def _partition(one: PartitionLag) -> dict[str, object]:
    return {name: getattr(one, name) for name in LAG_COLUMNS}


def _print(terminal: Terminal, received: Received) -> None:
    """What is no event is shown as such, and ends nothing."""
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


def _with_bus(context: typer.Context, work: Callable[[EventBus], Awaitable[T]]) -> T:
    @asynccontextmanager
    async def opened() -> AsyncIterator[EventBus]:
        bus = wiring(context).bus()
        try:
            yield bus
        finally:
            await bus.close()

    async def run() -> T:
        async with opened() as bus:
            return await work(bus)

    return asyncio.run(run())
