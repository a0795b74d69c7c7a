"""Train the spawn predictor as a Ray job, and promote it where it forecasts better than what forecasts now.

    ray job submit --working-dir . -- python jobs/train_spawn_predictor.py --trials 32
    python jobs/train_spawn_predictor.py --data security.csv --task-seconds 20 --no-samples --dry-run

Learns from the fleet's samples, and from files in the series or events form, one a pool and named after it. Needs
`pip install "ossa-on-ray[train]"`. Killed, it goes on with `--resume NAME`. To keep the model up to date, run it each
night with `--if-due`: it trains once a day of new samples is there, or a pool is new.

Exit code 0 when a model was trained, better or not, or none was due; 2 when a setting is wrong; else 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.spawn_training.run import Current
    from jobs.tuning.options import Plan
    from ossa.cli.terminal import Terminal
    from ossa.scaling.forecast.series import Panel
    from ossa.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # with --working-dir the package is a folder beside this file, not installed
    sys.path.insert(0, str(ROOT))

TRAINER = "forecast.trainer.pickle"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    from jobs.tuning.options import add_search_options, positive

    parser = argparse.ArgumentParser(description="Train the spawn predictor and promote it where it is better.")
    parser.add_argument("--data", action="append", type=Path, default=[], metavar="FILE", help="a trace, once a pool")
    parser.add_argument("--task-seconds", type=positive, help="mean duration of a turn, where a file says nothing")
    parser.add_argument("--no-samples", action="store_true", help="learn from the files alone")
    parser.add_argument("--pool", action="append", default=None, help="once a pool; else every pool with samples")
    parser.add_argument("--days", type=positive, default=14.0, help="samples of the last so many days")
    parser.add_argument("--if-due", action="store_true", help="do nothing when the model in use is new enough")
    add_search_options(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    from jobs.tuning.options import carry_out

    return carry_out(run, parse(arguments))


def run(options: argparse.Namespace, settings: Settings, terminal: Terminal) -> dict[str, Any]:
    """Raises `OssaError`."""
    from jobs.spawn_training.run import train_candidate, trainer_of
    from jobs.tuning.options import as_kept, plan_of, same_as_before
    from jobs.tuning.stores import start_ray

    plan = plan_of(options, settings.home_dir / "spawn_training", terminal)
    path = plan.path / TRAINER
    trainer = as_kept(path)
    if trainer is None:
        panel, current = _material(options, settings)
        if options.if_due and not (reason := _reason(panel, current, terminal)):
            return {"search": None, "due": reason, "model": None}
        trainer = same_as_before(path, trainer_of(panel, current))
    _tell_plan(terminal, plan, trainer)
    start_ray(options.at_once)
    candidate = train_candidate(trainer, plan)
    version, verdict = (None, candidate.verdict) if options.dry_run else _register(settings, candidate)
    model = {**candidate.told(), "version": version, "promote": verdict.promote, "reason": verdict.reason}
    _tell(terminal, model)
    return {"search": plan.name, "folder": str(plan.folder), "pools": list(trainer.panel.names), "model": model}


def _material(options: argparse.Namespace, settings: Settings) -> tuple[Panel, Current]:
    from jobs.spawn_training.run import Current, current_model, fleet_minutes, material
    from jobs.tuning.stores import JobStores

    stores = JobStores(settings)
    samples = None
    if not options.no_samples:
        samples = stores.ask(lambda opened: fleet_minutes(opened.scaling, days=options.days, pools=options.pool))
    panel = material(samples, options.data, options.task_seconds)
    if options.no_samples and options.dry_run:
        return panel, Current()
    return panel, stores.ask(lambda opened: current_model(opened.routing))


def _reason(panel: Panel, current: Current, terminal: Terminal) -> str:
    from lab.forecasting.split import due, newest

    reason = due(current.model.card if current.model else None, panel.names, newest(panel))
    terminal.note(f"due: {reason}" if reason else f"not due: {current.name} is new enough")
    return reason


def _register(settings: Settings, candidate: Any) -> Any:
    from jobs.spawn_training.run import register
    from jobs.tuning.stores import JobStores

    return JobStores(settings).ask(lambda opened: register(opened.routing, candidate))


def _tell_plan(terminal: Terminal, plan: Plan, trainer: Any) -> None:
    pools, split = ", ".join(trainer.panel.names), trainer.split
    terminal.note(
        f"search {plan.name} in {plan.folder}: {split.rows} minutes of {pools}; {split.shown} teach, "
        f"{split.held_out - split.shown} choose, {split.rows - split.held_out} are held out"
    )


def _tell(terminal: Terminal, model: dict[str, Any]) -> None:
    if terminal.as_json:
        return
    columns = ("horizon_min", "minutes", "loss_current", "loss", "gain", "wape_current", "wape", "coverage_90")
    heads = ("minutes ahead", "held out", f"loss of {model['compared_with']}", "candidate", "gain (mean, low, high)")
    rows = [tuple(one[column] for column in columns) for one in model["held_out"]]
    terminal.table((*heads, "its WAPE", "candidate's", "in the 90% band"), rows)
    where = "dry run" if model["version"] is None else f"version {model['version']}"
    state = "better" if model["promote"] else "stays a candidate"
    terminal.note(f"forecast ({where}): {state}, {model['reason']}.")


if __name__ == "__main__":
    sys.exit(main())
