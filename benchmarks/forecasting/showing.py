"""The figures of `benchmarks.forecast` as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def show(found: dict[str, Any], *, every: bool) -> None:
    """`every`: each method and horizon too."""
    console = Console(width=150)
    if every:
        _print(console, "each method", found["results"], found["results"][0] if found["results"] else {})
    _print(console, "mean of the horizons", found["series"], found["series"][0] if found["series"] else {})
    for aim in found["aims"]:
        console.print(f"{'met   ' if aim['met'] else 'MISSED'} {aim['aim']}: {aim['measured']}")
    for line in found["skipped"]:
        console.print(f"skipped {line}")


def _print(console: Console, title: str, rows: list[dict[str, Any]], first: dict[str, Any]) -> None:
    table = Table(title=title)
    for name, value in first.items():
        table.add_column(name, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)
