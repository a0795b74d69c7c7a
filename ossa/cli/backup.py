"""`ossa backup`. It works on the home of this machine and needs no fleet that answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ossa.cli.session import Session, group, local_command
from ossa.cli.terminal import ExitCode
from ossa.contracts.backups import BackupSet, Reach

if TYPE_CHECKING:
    from ossa.backups.service import Backups

app = group("Back up the fleet of this home (OSSA_HOME), and bring it back.")

COLUMNS = ("id", "until", "engine", "size", "cold memories", "schema")
TIME = "%Y-%m-%dT%H:%M:%SZ"


@app.command(epilog="Example: ossa backup now --json")
@local_command
def now(session: Session) -> None:
    """Make a backup while the fleet works, and remove those that are too old."""
    made = _backups(session).now(archive=session.settings.backup.enabled)
    session.terminal.result(made, text=made.id)
    session.terminal.note(f"{_size(made.size)} to restore {made.base.ended_at:{TIME}}.")


@app.command("list", epilog="Example: ossa backup list --json")
@local_command
def list_(session: Session) -> None:
    """List backups, oldest first. Exit code 1 when one cannot be read."""
    backups, terminal = _backups(session), session.terminal
    (sets, damaged), reach = backups.sets(), backups.reach()
    if session.as_json:
        terminal.json({"backups": sets, "damaged": damaged, "reach": reach.until.isoformat() if reach else None})
    else:
        terminal.table(COLUMNS, map(_row, sets))
        terminal.note(_window(sets, reach))
        for id in damaged:
            terminal.note(f"{id} cannot be read: its manifest is damaged.")
    if damaged:
        raise typer.Exit(ExitCode.FAILED)


@app.command(epilog="Example: ossa backup restore --to 2026-11-28T08:00:00Z --into ~/restored")
@local_command
def restore(
    session: Session,
    into: Annotated[Path, typer.Option("--into", help="The home to make; empty, or it does not exist yet.")],
    id: Annotated[str | None, typer.Argument(help="The backup to begin with; alone, as it was at its end.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="ISO 8601; without a zone it is local time.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Bring a home back: to a time, to a backup's end, or without either to the newest there is.

    Exit code 1 when the content of a cold memory is lost.
    """
    at = _time(to) if to is not None else None
    restored = _backups(session).restore(into.expanduser().absolute(), id=id, at=at, force=force)
    session.terminal.result(restored, text=restored.into)
    last = f"the last change is of {restored.at.isoformat()}" if restored.at else "nothing changed since the backup"
    session.terminal.note(f"Restored from {restored.id}; {last}. `OSSA_HOME={restored.into} ossa up` starts it.")
    for name in restored.lost_objects:
        session.terminal.note(f"The content of the memory {name} is lost.")
    if restored.lost_objects:
        raise typer.Exit(ExitCode.FAILED)


@app.command(epilog="Example: ossa backup verify --json")
@local_command
def verify(
    session: Session, id: Annotated[str | None, typer.Argument(help="The backup; without it the newest.")] = None
) -> None:
    """Restore a backup to a scratch folder, start it there and read all of it. Exit code 1 when it is damaged."""
    verified = _backups(session).verify(id)
    if session.as_json:
        session.terminal.json(verified)
        return
    session.terminal.table(("table", "rows"), verified.rows.items())
    reach = f", WAL until {verified.reach:{TIME}}" if verified.reach else ""
    session.terminal.note(
        f"{verified.id} is whole: schema {verified.schema_version}, {verified.objects} cold memories, "
        f"{verified.wal_segments} WAL segments{reach}."
    )


def _backups(session: Session) -> Backups:
    from ossa.app.backups import make_backups

    return make_backups(session.settings, progress=lambda stage: session.terminal.note(f"{stage} ..."))


def _time(given: str) -> datetime:
    try:
        return datetime.fromisoformat(given).astimezone(UTC)
    except ValueError:
        raise typer.BadParameter(f"--to is a time such as 2026-11-28T08:00:00Z, not {given!r}.") from None


def _row(backup: BackupSet) -> tuple[object, ...]:
    until = f"{backup.base.ended_at:{TIME}}"
    return backup.id, until, backup.base.engine, _size(backup.size), backup.objects, backup.base.schema_version


def _window(sets: list[BackupSet], reach: Reach | None) -> str:
    if not sets:
        return "There is no backup yet: `ossa backup now` makes one."
    first = f"{sets[0].base.ended_at:{TIME}}"
    if reach is None:
        return "No WAL is archived: each can be restored as it was at its end (OSSA_BACKUP__ENABLED archives it)."
    return f"Any time from {first} to {reach.until:{TIME}} can be restored."


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
