"""`ossa events`: what has happened, by the fleet's API; with --kafka the events in Kafka, as the settings name it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ossa.cli import kafka
from ossa.cli.session import Session, fleet_command, group
from ossa.cli.terminal import ExitCode, Terminal
from ossa.contracts.errors import NotFound
from ossa.contracts.events import EventStatus
from ossa.sdk.events import DeadLetters, Event, EventGroup, EventGroups, Events

app = group("See what has happened, who reads it, and put back what could not be handled.")

COLUMNS = ("when", "type", "subject", "actor", "outcome", "reason")
WIDTHS = (15, 26, 28, 20, 9)
"""The columns of `tail` but the last have fixed widths: a line is printed before the next one is known."""

Type = Annotated[
    list[str] | None,
    typer.Option("--type", help="A type, or the beginning of types with a dot at its end (ossa.agent.); repeatable."),
]
Agent = Annotated[str | None, typer.Option("--agent", help="Facts about this agent, and that name it.")]
Actor = Annotated[str | None, typer.Option("--actor", help="Who acted: key/ID, agent/ID or system/PART.")]
RequestId = Annotated[str | None, typer.Option("--request-id", help="The x-request-id that led to it.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Another tenant's; for the operator's admins.")]
Since = Annotated[str | None, typer.Option("--since", help="From then on: 15m, 2h, 7d ago, or 2026-01-31T12:00:00Z.")]
Kafka = Annotated[
    bool | None,
    typer.Option(
        "--kafka/--log",
        help="Of Kafka, or of the fleet's own log. Else of Kafka where OSSA_EVENTS__BOOTSTRAP_SERVERS is set.",
        show_default=False,
    ),
]


@app.command("list", epilog="Example: ossa events list --type ossa.agent. --since 1h")
@fleet_command
def list_events(
    session: Session,
    kinds: Type = None,
    since: Since = None,
    until: Annotated[str | None, typer.Option("--until", help="Before then, as --since.")] = None,
    agent: Agent = None,
    actor: Actor = None,
    request_id: RequestId = None,
    tenant: Tenant = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many, at most.")] = 50,
) -> None:
    """List what has happened, newest first."""
    events = session.client.events.list(
        limit=limit,
        type=kinds or (),
        since=since,
        until=until,
        agent=agent,
        actor=actor,
        request_id=request_id,
        tenant=tenant,
    )
    if session.as_json:
        session.terminal.json(events)
    else:
        _table(session.terminal, events)


@app.command(epilog="Example: ossa events tail --type ossa.agent. --since 15m")
@fleet_command
def tail(
    session: Session,
    kinds: Type = None,
    since: Since = None,
    agent: Agent = None,
    actor: Actor = None,
    request_id: RequestId = None,
    tenant: Tenant = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest event; else with the next one.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Stop after so many; else at Ctrl-C.")] = None,
    kafka_: Kafka = None,
) -> None:
    """Show what happens as it happens, also across a restart of the fleet. With --json a line an event."""
    filters: dict[str, Any] = {
        "type": kinds or (),
        "agent": agent,
        "actor": actor,
        "request_id": request_id,
        "tenant": tenant,
    }
    filtered = any(filters.values()) or since is not None
    if _of_kafka(session, kafka_, filtered=filtered):
        if filtered:
            raise typer.BadParameter("filters are for the fleet's own log; leave --kafka out, or the filters.")
        kafka.tail(session, from_beginning=from_beginning, limit=limit)
        return
    if from_beginning and since is not None:
        raise typer.BadParameter("--from-beginning and --since exclude each other.")
    after = BEGINNING if from_beginning else None
    events = session.client.events.stream(after=after, limit=limit, patience_s=math.inf, since=since, **filters)
    try:
        for event in events:
            if session.as_json:
                session.terminal.json(event)
                session.terminal.flush()
            else:
                _line(session.terminal, event)
    except KeyboardInterrupt:
        return


@app.command(epilog="Example: ossa events groups")
@fleet_command
def groups(session: Session) -> None:
    """Show the consumer groups of the fact log: members, position, and how many facts wait for them."""
    found = session.client.events.groups()
    if session.as_json:
        session.terminal.json(found)
    else:
        _groups(session.terminal, found)


@app.command(epilog="Example: ossa events seek agent-history --to oldest")
@fleet_command
def seek(
    session: Session,
    group_name: Annotated[str, typer.Argument(metavar="GROUP", help="The consumer group.")],
    to: Annotated[str, typer.Option("--to", help="oldest, newest, 2h (ago), 2026-01-31T12:00:00Z, or a cursor.")],
) -> None:
    """Put a consumer group of the fact log to another place: it handles what comes after it, again where it did."""
    moved = session.client.events.seek(group_name, to)
    session.terminal.result(moved, note=f"{group_name} goes on there: {moved.waiting} facts wait for it.")


@app.command(epilog="Example: ossa events status --json | jq .outbox")
@fleet_command
def status(session: Session) -> None:
    """Show what waits to be published, and the bus. Exit code 1 when events are on and cannot be published."""
    status = session.client.events.status()
    if session.as_json:
        session.terminal.json(status)
    else:
        _show(session.terminal, status)
    if status.trouble:
        raise typer.Exit(ExitCode.FAILED)


@app.command(epilog="Example: ossa events lag agent-history")
@fleet_command
def lag(
    session: Session,
    group_name: Annotated[str, typer.Argument(metavar="GROUP", help="The consumer group.")],
    kafka_: Kafka = None,
) -> None:
    """Show how far a consumer group is behind; of Kafka by partition, those without anything waiting left out."""
    if _of_kafka(session, kafka_):
        kafka.lag(session, group_name)
        return
    all_groups = session.client.events.groups()
    found = [each for each in all_groups if each.group == group_name]
    if not found:
        names = ", ".join(each.group for each in all_groups) or "none"
        raise NotFound(
            f"there is no group {group_name!r} in the fact log (there are: {names}); add --kafka for one of Kafka",
            param="group",
        )
    if session.as_json:
        session.terminal.json(found[0])
    else:
        _groups(session.terminal, EventGroups(found))


@app.command(epilog="Example: ossa events dead --limit 20")
@fleet_command
def dead(
    session: Session,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, at most.")] = 100,
    kafka_: Kafka = None,
) -> None:
    """List events that a consumer could not handle and that were not put back."""
    if _of_kafka(session, kafka_):
        kafka.dead(session, limit=limit)
        return
    letters: DeadLetters = session.client.events.dead(limit=limit)
    session.terminal.result(letters)


@app.command(epilog="Example: ossa events replay --limit 1")
@fleet_command
def replay(
    session: Session,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="How many, at most; the first ones.")] = None,
    kafka_: Kafka = None,
) -> None:
    """Put dead letters back: the group that could not handle one meets it again, other groups pass it over."""
    of_kafka = _of_kafka(session, kafka_)
    count = kafka.replay(session, limit=limit) if of_kafka else session.client.events.replay(limit=limit)
    session.terminal.result({"replayed": count}, note=f"{count} put back.")


BEGINNING = "f0"
"""The cursor of the place before the oldest fact."""


def _of_kafka(session: Session, asked: bool | None, *, filtered: bool = False) -> bool:
    """Whether a command is about Kafka. Where nobody says so, a Kafka in the settings is meant, as it always was."""
    if asked is not None or filtered:
        return bool(asked)
    if not session.settings.events.bootstrap_servers:
        return False
    session.terminal.note(
        "This is of Kafka, as OSSA_EVENTS__BOOTSTRAP_SERVERS is set. Say --kafka to keep it so, or --log for the "
        "fleet's own log."
    )
    return True


def _table(terminal: Terminal, events: Events) -> None:
    now = datetime.now(UTC)
    rows = [(_ago(event.time, now), *_cells(event)) for event in events]
    terminal.table(COLUMNS, rows)


def _line(terminal: Terminal, event: Event) -> None:
    terminal.columns((f"{event.time.astimezone():%H:%M:%S.%f}", *_cells(event)), WIDTHS)


def _cells(event: Event) -> tuple[str, ...]:
    return event.type, event.subject, event.actor, event.outcome, event.reason


def _groups(terminal: Terminal, groups: EventGroups) -> None:
    now = datetime.now(UTC)
    terminal.table(("group", "waiting", "oldest", "shards", "members"), [_group_row(each, now) for each in groups])


def _group_row(each: EventGroup, now: datetime) -> tuple[object, ...]:
    oldest = "" if each.waiting_since is None else _ago(each.waiting_since, now)
    return each.group, each.waiting, oldest, each.shards, ", ".join(each.members)


def _ago(time: datetime, now: datetime) -> str:
    seconds = max(0.0, (now - time).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit} ago"
    return f"{seconds:.0f}s ago"


def _show(terminal: Terminal, status: EventStatus) -> None:
    if status.consumers:
        terminal.table(("group", "waiting"), [(consumer.group, consumer.waiting) for consumer in status.consumers])
    if not status.telling or status.bus is None:
        terminal.note("Nothing goes to Kafka: set OSSA_EVENTS__BOOTSTRAP_SERVERS, or OSSA_EVENTS__MOCK=true to try it.")
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
