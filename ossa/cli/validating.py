"""`ossa validate`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ossa.cli import options
from ossa.cli.exit_code import ExitCode
from ossa.cli.session import reporting
from ossa.cli.terminal import Terminal
from ossa.manifest import Loaded, OtherKind, Reading, scan

COLUMNS = ("file", "line", "result", "kind", "name", "version", "dialect", "pool")


def validate(
    paths: Annotated[list[Path], typer.Argument(help="Manifest files, and folders to search.")],
    as_json: options.Json = False,
) -> None:
    """Read manifests of any dialect and say what is wrong: exit code 1 when one is rejected. Needs no fleet."""
    with reporting(as_json=as_json) as terminal:
        readings = list(scan(paths))
        counts: Counter[str] = Counter(reading.status for reading in readings)
        if as_json:
            terminal.json({"counts": dict(counts), "documents": [_brief(reading) for reading in readings]})
        else:
            _show(terminal, readings, counts)
    raise typer.Exit(ExitCode.FAILED if counts["rejected"] else ExitCode.OK)


def _show(terminal: Terminal, readings: list[Reading], counts: Mapping[str, int]) -> None:
    terminal.table(COLUMNS, [_row(reading) for reading in readings])
    for reading in readings:
        if reading.status == "rejected":
            terminal.text(f"rejected  {reading}")
    terminal.note(", ".join(f"{number} {status}" for status, number in sorted(counts.items())))


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
