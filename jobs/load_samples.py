"""Load a recorded trace as samples of a pool, so that forecasts have a history from the first day.

    python jobs/load_samples.py --file load.csv --pool security --task-seconds 20
    ray job submit --working-dir . -- python jobs/load_samples.py --file events.csv.gz --pool security --dry-run

The file is a series (timestamp,value) or events (timestamp,duration_s,tokens_in,tokens_out), plain or .gz. Its samples,
one each 10 s, go into the configured PostgreSQL, or the embedded one of this home. Killed, it is started again: samples
that are there already are replaced; give --start or --end then, since without them the trace ends when the job begins.

Exit code 0 when it is loaded; 2 when an option or a setting is wrong; else 1.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.traces.forms import Load
    from ossa.cli.terminal import Terminal
    from ossa.settings import Settings
    from ossa.stores.postgres import PostgresStores

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # with --working-dir the package is a folder beside this file, not installed
    sys.path.insert(0, str(ROOT))

LOADED_AT_ONCE = 5_000
OWN = "own"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Load a recorded trace as samples of a pool.")
    parser.add_argument("--file", type=Path, required=True, help="a series or events, plain or .gz")
    parser.add_argument("--pool", type=_name, required=True, help="whose samples they become")
    parser.add_argument("--task-seconds", type=_seconds, help="mean duration of a turn, where the file says nothing")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--start", type=_start, metavar="TIME", help=f"when the trace begins; {OWN}: at its own times")
    when.add_argument("--end", type=_time, metavar="TIME", help="when the trace ends; without --start and --end now")
    parser.add_argument("--dry-run", action="store_true", help="read and tell, load nothing")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    from jobs.tuning.options import carry_out

    return carry_out(run, parse(arguments))


def run(options: argparse.Namespace, settings: Settings, terminal: Terminal) -> dict[str, Any]:
    """Raises `OssaError`."""
    from jobs.tuning.stores import JobStores
    from lab.traces.forms import Counts, read_trace, resample

    series = read_trace(options.file)
    load = resample(series, options.task_seconds)
    start = place(options, series.start, load.seconds, datetime.now(UTC))
    report = {
        "file": str(options.file),
        "form": "series" if isinstance(series, Counts) else "events",
        "pool": options.pool,
        "samples": len(load),
        "first": (start + timedelta(seconds=float(load.ends_s[0]))).isoformat(),
        "last": (start + timedelta(seconds=load.seconds)).isoformat(),
        "arrivals": int(load.arrivals.sum()),
        "running_mean": round(float(load.running.mean()), 3),
        "running_most": round(float(load.running.max()), 3),
        "loaded": not options.dry_run,
    }
    if not options.dry_run:
        known = JobStores(settings).ask(lambda stores: _keep(stores, load, options.pool, start, terminal))
        if options.pool not in known:
            terminal.note(f"The fleet has no pool {options.pool} yet; it has {', '.join(sorted(known)) or 'none'}.")
    _tell(terminal, report, datetime.now(UTC) - start, settings.scaling.keep_days)
    return report


def place(options: argparse.Namespace, own_start: datetime, seconds: float, now: datetime) -> datetime:
    """When the trace begins: at whole samples of the clock, so that loading it again replaces.

    Raises `InvalidRequest` when it would end in the future.
    """
    from ossa.contracts.errors import InvalidRequest

    if options.start is not None:
        start = _on_clock(own_start if options.start == OWN else options.start)
    else:
        start = _on_clock((options.end or now) - timedelta(seconds=seconds))
    end = start + timedelta(seconds=seconds)
    if end > now:
        raise InvalidRequest(f"The trace would end at {end.isoformat()}, which is still to come.", param="start")
    return start


async def _keep(stores: PostgresStores, load: Load, pool: str, start: datetime, terminal: Terminal) -> set[str]:
    """The fleet's pools."""
    from itertools import islice

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("samples of {task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    samples = load.samples(pool, start)
    with Progress(*columns, TimeRemainingColumn(), console=terminal.err) as progress:
        task = progress.add_task(pool, total=len(load))
        while batch := list(islice(samples, LOADED_AT_ONCE)):
            await stores.scaling.add_samples(batch)
            progress.advance(task, len(batch))
    return {known.name for known in (await stores.fleet.load()).pools}


def _tell(terminal: Terminal, report: dict[str, Any], age: timedelta, keep_days: float) -> None:
    if age > timedelta(days=keep_days):
        terminal.note(f"Samples older than {keep_days:g} days (OSSA_SCALING__KEEP_DAYS) are removed by the scaler.")
    if not terminal.as_json:
        columns = ("pool", "samples", "first", "last", "arrivals", "running_mean", "running_most")
        terminal.table(columns, [[report[column] for column in columns]])
        terminal.note("Loaded." if report["loaded"] else "Dry run: nothing was loaded.")


def _on_clock(moment: datetime) -> datetime:
    from ossa.contracts.scaling import SAMPLE_S

    return datetime.fromtimestamp(moment.timestamp() // SAMPLE_S * SAMPLE_S, UTC)


def _start(text: str) -> datetime | str:
    return OWN if text == OWN else _time(text)


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _name(text: str) -> str:
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a pool")
    return text


if __name__ == "__main__":
    sys.exit(main())
