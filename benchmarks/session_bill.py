"""What whole sessions cost with and without shortening: `python -m benchmarks.session_bill --data DIR --out FILE.json`.

Replays published trajectories model call by model call at the list prices of two providers with prompt caches, through
the code that fits an agent's context. Both bills have the answers in them, and ours the look-ups of what was left out.
The exit code is 1 when a session is dearer with shortening than without. `--latency N` times N prompts on the embedded
model: whole ones, whole ones with its prompt cache, and ours with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.sessions.latency import measure
from benchmarks.sessions.replay import Owner, Replayed, replay
from benchmarks.sessions.session import SETS, Session, read_file
from ossa.contracts.configuration import Endpoint, VortexSettings
from ossa.cost.prices import find_price

MODELS = ("anthropic/claude-sonnet-4-0", "openai/gpt-4o")


def endpoint(name: str) -> Endpoint:
    """With its list price, and what its provider's prompt cache charges."""
    price = find_price(name, "", price_as=name)
    if price is None:
        raise SystemExit(f"the price list does not know {name}")
    return Endpoint(
        base_url="http://replay/v1",
        model=name.partition("/")[2],
        input_usd_per_mtok=price.input_usd_per_mtok,
        output_usd_per_mtok=price.output_usd_per_mtok,
        prompt_cache=price.cache,
    )


def summary(name: str, model: str, found: list[Replayed]) -> dict[str, Any]:
    """One row."""
    savings = sorted(1 - one.short.usd / one.whole.usd for one in found if one.whole.usd)
    whole, short = sum(one.whole.usd for one in found), sum(one.short.usd for one in found)
    tokens = sum(one.whole.prompt_tokens for one in found), sum(one.short.prompt_tokens for one in found)
    quartiles = statistics.quantiles(savings, n=4) if len(savings) > 1 else [savings[0]] * 3
    return {
        "set": name,
        "model": model,
        "sessions": len(found),
        "calls": sum(one.whole.calls for one in found),
        "usd_whole": round(whole, 4),
        "usd_short": round(short, 4),
        "saving": round(1 - short / whole, 4),
        "saving_p25": round(quartiles[0], 4),
        "saving_p50": round(statistics.median(savings), 4),
        "saving_p75": round(quartiles[2], 4),
        "saving_max": round(savings[-1], 4),
        "saving_min": round(savings[0], 4),
        "prompt_tokens_saved": round(1 - tokens[1] / tokens[0], 4),
        "sessions_shortened": sum(one.shortened > 0 for one in found),
        "contents_shortened": sum(one.shortened for one in found),
        "look_ups": sum(one.look_ups for one in found),
        "sessions_dearer": sum(one.short.usd > one.whole.usd * (1 + 1e-9) for one in found),
    }


async def run(sets: dict[str, list[Session]], settings: VortexSettings, progress: Progress) -> list[dict[str, Any]]:
    rows = []
    for name, sessions in sets.items():
        owner = Owner()
        for model in MODELS:
            task = progress.add_task(f"{name} at {model}", total=len(sessions))
            found = []
            for session in sessions:
                found.append(await replay(session, endpoint(model), settings, owner))
                progress.advance(task)
            rows.append(summary(name, model, found))
    return rows


def table(rows: list[dict[str, Any]]) -> Table:
    shown = Table(title="Bills of whole sessions")
    for column in ("set", "model", "sessions", "calls", "USD whole", "USD short", "saving", "p25 / p50 / p75", "max"):
        shown.add_column(column, justify="left" if column in ("set", "model") else "right")
    for column in ("tokens", "shortened", "look-ups", "dearer"):
        shown.add_column(column, justify="right")
    for row in rows:
        spread = " / ".join(f"{row[f'saving_p{n}']:.1%}" for n in (25, 50, 75))
        shown.add_row(
            row["set"],
            row["model"],
            f"{row['sessions']:,}",
            f"{row['calls']:,}",
            f"{row['usd_whole']:.2f}",
            f"{row['usd_short']:.2f}",
            f"{row['saving']:.1%}",
            spread,
            f"{row['saving_max']:.1%}",
            f"-{row['prompt_tokens_saved']:.1%}",
            f"{row['contents_shortened']:,} in {row['sessions_shortened']:,}",
            f"{row['look_ups']:,}",
            str(row["sessions_dearer"]),
        )
    return shown


def latency_table(found: dict[str, Any]) -> Table:
    shown = Table(title="Time to answer on the embedded model")
    for column in ("way", "calls", "p50 s", "total s", "shorter by", "by p50"):
        shown.add_column(column, justify="left" if column == "way" else "right")
    for way, row in found.items():
        shorter = (f"{row['shorter_by']:.0%}", f"{row['shorter_by_p50']:.0%}")
        shown.add_row(way, str(row["n"]), f"{row['p50_s']:.2f}", f"{row['total_s']:.1f}", *shorter)
    return shown


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSSA_DATA", "../shared/data")))
    parser.add_argument("--file", type=Path, help="sessions of your own: JSONL with id, messages")
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=list(SETS))
    parser.add_argument("--limit", type=int, help="sessions a set, at most")
    parser.add_argument("--reduction", type=float, default=VortexSettings().reduction)
    parser.add_argument("--look-ups", type=float, default=VortexSettings().look_ups)
    parser.add_argument("--latency", type=int, default=0, metavar="N", help="time N sessions on the embedded model")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true", help="the figures instead of a table")
    chosen = parser.parse_args(argv)
    if chosen.file is None and not (chosen.data / "context").is_dir():
        print(f"no data in {chosen.data}: give --data DIR, --file FILE, or set OSSA_DATA", file=sys.stderr)
        return 2
    console = Console(stderr=chosen.json, width=None if sys.stdout.isatty() else 160)
    sets = (
        {"file": read_file(chosen.file)}
        if chosen.file is not None
        else {name: SETS[name](chosen.data) for name in chosen.sets}
    )
    sets = {name: sessions[: chosen.limit] for name, sessions in sets.items()}
    settings = VortexSettings(reduction=chosen.reduction, look_ups=chosen.look_ups)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        rows = asyncio.run(run(sets, settings, progress))
        latency = asyncio.run(measure(sets, settings, chosen.latency, progress)) if chosen.latency else None
    dearer = sum(row["sessions_dearer"] for row in rows)
    result = {"results": rows, "sessions_dearer": dearer, "latency": latency, "settings": settings.model_dump()}
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(result, indent=1) + "\n")
    if chosen.json:
        print(json.dumps(result, indent=1))
    else:
        console.print(table(rows))
        if latency is not None:
            console.print(latency_table(latency))
    return 1 if dearer else 0


if __name__ == "__main__":
    sys.exit(main())
