"""The figures of `benchmarks.semantic_cache` as a table, and its curve as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = ("method", "cosine", "likelihood", "hits", "hit rate", "95%", "false", "slots", "oos", "false rate", "95%")
LABELS = {"cosine": "cosine alone", "rules": "with the rules", "ossa": "with the whole second check"}


def show(result: dict[str, Any]) -> None:
    table = Table(title="replay: hits of all look-ups, false ones of all hits")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "method" else "right")
    for one in [*result["results"], result["product"]]:
        table.add_row(
            one["method"],
            f"{one['threshold']:.2f}",
            f"{one['likelihood']:.2f}" if one["method"].startswith("ossa") else "-",
            str(one["hits"]),
            f"{one['hit_rate']:.1%}",
            f"{one['hit_rate_low']:.1%}-{one['hit_rate_high']:.1%}",
            str(one["false_intent"] + one["false_slots"] + one["false_unlabelled"]),
            str(one["false_slots"]),
            str(one["false_unlabelled"]),
            "-" if one["false_rate"] is None else f"{one['false_rate']:.2%}",
            f"{one['false_rate_low']:.2%}-{one['false_rate_high']:.2%}",
        )
    console = Console(width=120)
    console.print(table)
    for one in result["pairs"]:
        console.print(f"{one['pairs']}, {one['method']}: {one['passed']:.2%} of {one['n']} pass")
    orders = [f"{one['false_rate'] or 0:.2%} of {one['hits']}" for one in result["other_orders"]]
    console.print(f"false hits in other orders: {', '.join(orders)}")
    console.print(f"milliseconds: {result['milliseconds']}")
    console.print(f"intents not trained on: {result['unseen_intents']}")
    console.print(f"verdict: {result['verdict']}")


def draw(rows: list[dict[str, Any]], product: dict[str, Any], file: Path, *, most_false: float) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for method, label in LABELS.items():
        chosen = sorted((one["hit_rate"], one["false_rate"] or 0.0) for one in rows if one["method"] == method)
        axes.plot(*zip(*chosen, strict=True), marker="o", markersize=3, label=label)
    axes.plot(product["hit_rate"], product["false_rate"] or 0.0, "k*", markersize=10, label="as shipped")
    axes.axhline(most_false, color="grey", linestyle=":", label="1%")
    axes.set(xlabel="hits of all look-ups", ylabel="false ones of all hits", yscale="symlog", ylim=(0, 1))
    axes.set_yscale("symlog", linthresh=0.01)
    axes.legend()
    figure.savefig(file, dpi=150)
