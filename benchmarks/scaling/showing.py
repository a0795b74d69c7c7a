"""The figures as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = (
    "series",
    "policy",
    "tasks",
    "cold_starts",
    "wait_p99_s",
    "idle_agent_hours",
    "scale_events",
    "spawn_accuracy",
    "node_hours",
)


def show(result: dict[str, Any]) -> None:
    table = Table(title="policies over the same arrivals")
    for column in COLUMNS:
        table.add_column(column.replace("_", " "), justify="left" if column in COLUMNS[:2] else "right")
    series = None
    for row in result["results"]:
        if series not in (None, row["series"]):
            table.add_section()
        series = row["series"]
        table.add_row(
            row["series"],
            row["policy"],
            f"{row['tasks']:,}",
            f"{row['cold_starts']:,}",
            f"{row['wait_p99_s']:,.2f}",
            f"{row['idle_agent_hours']:,.1f}",
            f"{row['scale_events']:,}",
            f"{row['spawn_accuracy']:.1%}",
            f"{row['node_hours']:,.0f}",
        )
    console = Console(width=130)
    console.print(table)
    for one in result["series"]:
        better = ", ".join(one["fewer"]) or "none"
        worse = f"; worse in both than {', '.join(one['lost'])}" if one["lost"] else ""
        console.print(f"{one['series']}: fewer cold starts and idle hours than {better}{worse}")
        limited = f", limited by {one['limited_by']}" if one["limited_by"] else ""
        console.print(f"    spawn accuracy {one['spawn_accuracy']:.1%}{limited}")
    console.print(f"verdict: {result['verdict']}")
