"""The figures of `benchmarks.routing` as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = ("set", "method", "n", "accuracy", "95%", "USD a prompt", "apgr", "aiq", "oos recall", "ece")


def show(found: dict[str, Any]) -> None:
    console = Console(width=140)
    table = Table(title="held-out accuracy (label) and mean score (model)")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("set", "method") else "right")
    for one in found["results"]:
        table.add_row(
            one["set"],
            one["method"],
            str(one["n"]),
            f"{one['accuracy']:.4f}",
            f"{one['accuracy_low']:.4f}-{one['accuracy_high']:.4f}",
            _number(one["cost_usd"], 6),
            *(_number(one[name], 4) for name in ("apgr", "aiq", "oos_recall", "ece")),
        )
    console.print(table)
    for bill in found["bills"]:
        console.print(
            f"{bill['set']}, {bill['method']}: strong model's accuracy less half a point for USD "
            f"{_number(bill['nearly_usd'], 6)}; the best fixed model's for {_number(bill['equal_usd'], 6)} in place of "
            f"{bill['fixed_usd']:.6f} (saved {_number(bill['saved'], 4)}, 95% {_number(bill['saved_low'], 4)} to "
            f"{_number(bill['saved_high'], 4)}); at most {bill['top']:.4f}"
        )
    for name, split in found["splits"].items():
        console.print(f"split of {name}: {split}")
    for target in found["targets"]:
        console.print(f"{'met   ' if target['met'] else 'MISSED'} {target['target']}: {target['measured']}")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
