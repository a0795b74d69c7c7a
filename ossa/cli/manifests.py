"""`ossa apply` and `ossa validate`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from ossa.cli.scaling import follow
from ossa.cli.session import Session, Timeout, Wait, fleet_command, local_command
from ossa.cli.terminal import ExitCode
from ossa.manifest import Loaded, OtherKind, Reading, read_agent, scan

COLUMNS = ("file", "line", "result", "kind", "name", "version", "dialect", "pool")


@fleet_command
def apply(
    session: Session,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="An OSSA manifest.")],
    pool: Annotated[str | None, typer.Option("--pool", help="The pool; else the one the manifest names.")] = None,
    wait: Wait = True,
    timeout_s: Timeout = 600.0,
) -> None:
    """Roll a manifest out over a pool, agent by agent; running turns finish."""
    name = pool or read_agent(file).pool
    if not name:
        raise typer.BadParameter(f"{file} names no pool; say which with --pool.")
    follow(session, session.client.pools.apply(name, file), wait=wait, timeout_s=timeout_s)


@local_command
def validate(
    session: Session,
    paths: Annotated[list[Path], typer.Argument(help="Manifest files, and folders to search.")],
) -> None:
    """Read manifests of any dialect and say what is wrong: exit code 1 when one is rejected. Needs no fleet."""
    terminal = session.terminal
    readings = list(scan(paths))
    counts: Counter[str] = Counter(reading.status for reading in readings)
    if session.as_json:
        terminal.json({"counts": dict(counts), "documents": [_brief(reading) for reading in readings]})
    else:
        terminal.table(COLUMNS, [_row(reading) for reading in readings])
        for reading in readings:
            if reading.status == "rejected":
                terminal.text(f"rejected  {reading}")
        terminal.note(", ".join(f"{number} {status}" for status, number in sorted(counts.items())))
    raise typer.Exit(ExitCode.FAILED if counts["rejected"] else ExitCode.OK)


def _row(reading: Reading) -> tuple[object, ...]:
    start = (reading.source, reading.line, reading.status)
    if isinstance(reading, Loaded):
        spec = reading.spec
        return (*start, "Agent", spec.name, spec.version, spec.dialect, spec.pool)
    if isinstance(reading, OtherKind):
        return (*start, reading.kind, "", "", reading.dialect, "")
    return (*start, reading.kind, "", "", "", "")


def _brief(reading: Reading) -> dict[str, object]:
    if isinstance(reading, Loaded):
        columns = dict(zip(COLUMNS, _row(reading), strict=True))
        return {"source": reading.source, "line": reading.line, "status": reading.status} | {
            key: columns[key] for key in ("name", "version", "dialect", "pool")
        }
    return reading.model_dump(mode="json")
