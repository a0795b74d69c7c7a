"""Writes what a command prints: tables for people, plain columns for pipes, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import zip_longest
from typing import Any, TextIO

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ossa.contracts.errors import Forbidden, OssaError, Unauthenticated
from ossa.sdk.errors import Unreachable
from ossa.sdk.received import Listing


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    """What was asked for did not succeed, or the fleet is not well."""
    USAGE = 2
    """The command line or a setting is wrong; nothing was asked."""
    UNREACHABLE = 3
    """No fleet answers there."""
    DENIED = 4
    """No API key, a wrong one, or one without the scope."""


REFUSED_HERE = frozenset({"wrong_setting", "wrong_usage"})
"""Codes of errors that are raised before anything is sent."""


def exit_code_of(error: OssaError) -> ExitCode:
    if error.code in REFUSED_HERE:
        return ExitCode.USAGE
    if isinstance(error, Unreachable):
        return ExitCode.UNREACHABLE
    if isinstance(error, Unauthenticated | Forbidden):
        return ExitCode.DENIED
    return ExitCode.FAILED


SHADES = {
    "ready": "green",
    "succeeded": "green",
    "ok": "green",
    "yes": "green",
    "failed": "red",
    "no": "red",
    "rejected": "red",
    "refused": "red",
    "cancelled": "yellow",
    "starting": "yellow",
    "draining": "yellow",
    "degraded": "yellow",
}


class Terminal:
    """Writes results to standard output and everything else to standard error, so that a pipe gets only results."""

    def __init__(self, *, as_json: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.as_json = as_json
        self.out = Console(file=out or sys.stdout, highlight=False, soft_wrap=True)
        self.err = Console(file=err or sys.stderr, highlight=False, soft_wrap=True)

    def json(self, value: Any) -> None:
        """Writes one JSON document on one line, exactly as it is."""
        self.out.file.write(json.dumps(_plain(value), ensure_ascii=False) + "\n")

    def text(self, text: str, *, end: str = "\n") -> None:
        """Writes text as it is: what a model says is not markup."""
        self.out.file.write(text + end)
        self.out.file.flush()

    def note(self, text: str) -> None:
        """Writes a remark for a person; nothing with --json."""
        if not self.as_json:
            self.err.print(Text(text, style="dim"))

    def result(self, value: Any, *, text: str | None = None, note: str | None = None) -> None:
        """Prints what a command was asked for: JSON with --json, else a listing as a table, else the text or note."""
        if self.as_json:
            self.json(value)
        elif text is not None:
            self.text(text)
        elif note is not None:
            self.note(note)
        else:
            self.listing(value)

    def listing(self, listing: Listing[Any]) -> None:
        self.table(listing.columns, listing.rows())

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        cells = [[_cell(value) for value in row] for row in rows]
        if self.out.is_terminal:
            self.out.print(_rich_table(columns, cells), soft_wrap=False)
        else:
            self._columns([list(columns), *cells])

    def columns(self, cells: Sequence[str], widths: Sequence[int]) -> None:
        """Writes one line of columns of these widths; the last one, and what is too long for its column, as it is."""
        line = Text()
        for cell, width in zip_longest(cells, widths, fillvalue=0):
            text = _cell(cell)
            line += Text(text, style=SHADES.get(text, "")) + " " * (max(0, int(width) - len(text)) + 2)
        line.rstrip()
        self.out.print(line)
        self.flush()

    def flush(self) -> None:
        """Lets a pipe have what was written."""
        self.out.file.flush()

    def error(self, error: OssaError) -> None:
        """Writes one sentence, or with --json one object, to standard error."""
        if self.as_json:
            body: dict[str, Any] = {"code": error.code, "message": error.message}
            if error.param:
                body["param"] = error.param
            if error.details:
                body["details"] = error.details
            self.err.file.write(json.dumps({"error": body}, ensure_ascii=False, default=str) + "\n")
            return
        line = Text("ossa: ", style="bold red") + Text(" ".join(error.message.split()), style="not bold default")
        if error.param and error.param not in error.message:
            line += Text(f" ({error.param})")
        self.err.print(line)

    def _columns(self, lines: list[list[str]]) -> None:
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        for line in lines:
            padded = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.out.file.write(padded.rstrip() + "\n")


def _rich_table(columns: Sequence[str], cells: list[list[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=SHADES.get(cell, "")) for cell in row))
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(str(value).split())


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
