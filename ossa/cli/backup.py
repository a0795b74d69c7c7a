"""`ossa backup`: at the home of this machine, without a fleet that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ossa.cli import options
from ossa.cli.exit_code import ExitCode
from ossa.cli.session import reporting
from ossa.cli.terminal import Terminal
from ossa.contracts.backups import BackupSet, Reach

if TYPE_CHECKING:
    from ossa.backups.service import Backups

app = typer.Typer(
    help="Back up the fleet of this home (OSSA_HOME), and bring it back.", no_args_is_help=True, rich_markup_mode=None
)

COLUMNS = ("id", "until", "engine", "size", "cold memories", "schema")


@app.command(epilog="Example: ossa backup now --json")
def now(as_json: options.Json = False) -> None:
    """Make a backup while the fleet works, and let go of those that are too old."""
    with _backups(as_json) as (backups, terminal):
        made = backups.now(archive=_archives())
        if as_json:
            terminal.json(made)
        else:
            terminal.text(made.id)
            terminal.note(f"{_size(made.size)} to restore {made.base.ended_at:%Y-%m-%dT%H:%M:%SZ}.")


@app.command("list", epilog="Example: ossa backup list --json")
def list_(as_json: options.Json = False) -> None:
    """List backups, oldest first. Exit code 1 where one cannot be read."""
    with _backups(as_json) as (backups, terminal):
        (sets, damaged), reach = backups.sets(), backups.reach()
        if as_json:
            terminal.json({"backups": sets, "damaged": damaged, "reach": reach.until.isoformat() if reach else None})
        else:
            terminal.table(COLUMNS, map(_row, sets))
            terminal.note(_window(sets, reach))
            for id in damaged:
                terminal.note(f"{id} cannot be read: its manifest is damaged.")
        if damaged:
            raise typer.Exit(ExitCode.FAILED)


@app.command(epilog="Example: ossa backup restore --to 2026-11-28T08:00:00Z --into ~/restored")
def restore(
    into: Annotated[Path, typer.Option("--into", help="The home to make; empty, or it does not exist yet.")],
    id: Annotated[str | None, typer.Argument(help="The backup to begin with; alone, as it was at its end.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="As in ISO 8601; without a zone it is local time.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: options.Json = False,
) -> None:
    """Bring a home back: to a time, to a backup's end, or without either to the newest there is.

    Exit code 1 where a cold memory's content is lost.
    """
    at = _time(to) if to is not None else None
    with _backups(as_json) as (backups, terminal):
        found = backups.restore(into.expanduser().absolute(), id=id, at=at, force=force)
        if as_json:
            terminal.json(found)
        else:
            terminal.text(found.into)
            last = (
                f"the last change is of {found.at.isoformat()}" if found.at else "nothing was changed since the backup"
            )
            terminal.note(f"Restored from {found.id}; {last}. `OSSA_HOME={found.into} ossa up` starts it.")
            for name in found.lost_objects:
                terminal.note(f"The content of the memory {name} is lost.")
        if found.lost_objects:
            raise typer.Exit(ExitCode.FAILED)


@app.command(epilog="Example: ossa backup verify --json")
def verify(
    id: Annotated[str | None, typer.Argument(help="Without it the newest.")] = None, as_json: options.Json = False
) -> None:
    """Restore a backup to a scratch folder, start it there and read all of it. Exit code 1 when it is damaged."""
    with _backups(as_json) as (backups, terminal):
        found = backups.verify(id)
        if as_json:
            terminal.json(found)
        else:
            terminal.table(("table", "rows"), found.rows.items())
            goes = f", WAL until {found.reach:%Y-%m-%dT%H:%M:%SZ}" if found.reach else ""
            terminal.note(
                f"{found.id} is whole: schema {found.schema_version}, {found.objects} cold memories, "
                f"{found.wal_segments} WAL segments{goes}."
            )


@contextmanager
def _backups(as_json: bool) -> Iterator[tuple[Backups, Terminal]]:
    with reporting(as_json=as_json) as terminal:
        from ossa.app.backups import make_backups
        from ossa.settings import Settings

        yield make_backups(Settings(), progress=_progress(terminal)), terminal


def _progress(terminal: Terminal) -> Callable[[str], None]:
    return lambda stage: terminal.note(f"{stage} ...")


def _archives() -> bool:
    from ossa.settings import Settings

    return Settings().backup.enabled


def _time(given: str) -> datetime:
    try:
        return datetime.fromisoformat(given).astimezone(UTC)
    except ValueError:
        raise typer.BadParameter(f"--to is a time such as 2026-11-28T08:00:00Z, not {given!r}.") from None


def _row(one: BackupSet) -> tuple[object, ...]:
    until = f"{one.base.ended_at:%Y-%m-%dT%H:%M:%SZ}"
    return one.id, until, one.base.engine, _size(one.size), one.objects, one.base.schema_version


def _window(sets: list[BackupSet], reach: Reach | None) -> str:
    if not sets:
        return "There is no backup yet: `ossa backup now` makes one."
    first = f"{sets[0].base.ended_at:%Y-%m-%dT%H:%M:%SZ}"
    if reach is None:
        return "No WAL is archived: each can be restored as it was at its end (OSSA_BACKUP__ENABLED archives it)."
    return f"Any time from {first} to {reach.until:%Y-%m-%dT%H:%M:%SZ} can be restored."


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
