"""Train the router's models as a Ray job, and promote what is better than what decides now.

    ray job submit --working-dir . -- python jobs/train_router.py --trials 32
    python jobs/train_router.py --kind labels --data labels.csv --no-journal --dry-run

Learns from the journal (what users rated, what failed, explored choices) and from files in the labels and model-choice
forms. Needs `pip install "ossa-on-ray[train]"`. Killed, it goes on with `--resume NAME`.

Exit code 0 when all there is material for was trained, better or not; 2 when a setting is wrong; else 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ossa.cli.terminal import Terminal
    from ossa.contracts.routing import ModelKind
    from ossa.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # with --working-dir the package is a folder beside this file, not installed
    sys.path.insert(0, str(ROOT))

KINDS: tuple[ModelKind, ...] = ("labels", "quality")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    from jobs.tuning.options import add_search_options

    parser = argparse.ArgumentParser(description="Train the router's models and promote what is better.")
    parser.add_argument("--kind", action="append", choices=KINDS, help="once a kind; else all there is material for")
    parser.add_argument("--data", action="append", type=Path, default=[], metavar="FILE", help="a set, once each")
    parser.add_argument("--no-journal", action="store_true", help="learn from the sets alone")
    parser.add_argument("--tenant", default=None, help="only this tenant's tasks")
    parser.add_argument("--days", type=float, default=30.0, help="tasks that ended in the last so many days")
    parser.add_argument("--limit", type=int, default=20_000, help="at most so many tasks, the newest ones")
    add_search_options(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    from jobs.tuning.options import carry_out

    return carry_out(run, parse(arguments))


def run(options: argparse.Namespace, settings: Settings, terminal: Terminal) -> dict[str, Any]:
    """Trains kind by kind. Raises `OssaError`."""
    from jobs.router_training.material import kind_of, material_of
    from jobs.router_training.run import train_candidate, trainer_of
    from jobs.tuning.options import plan_of
    from jobs.tuning.stores import start_ray
    from ossa.contracts.errors import InvalidRequest

    sets: dict[ModelKind, list[Any]] = {kind: [] for kind in KINDS}
    for file in options.data:
        sets[kind_of(file)].append(material_of(file))
    plan = plan_of(options, settings.home_dir / "router_training", terminal)
    stores = _Registry(settings, needed=not (options.no_journal and options.dry_run))
    examples = [] if options.no_journal else stores.examples(options)
    terminal.note(
        f"search {plan.name} in {plan.folder}: {len(examples)} examples of the journal, {len(options.data)} sets"
    )
    models: list[dict[str, Any]] = []
    for kind in options.kind or KINDS:
        current_name, current = stores.current(kind)
        try:
            trainer = trainer_of(kind, examples, sets[kind], current)
        except InvalidRequest as error:
            if options.kind:
                raise
            terminal.note(error.message)
            continue
        start_ray(options.at_once)
        candidate = train_candidate(trainer, current, current_name, plan)
        version = None if options.dry_run else stores.register(candidate)
        models.append({**candidate.told(), "version": version})
        _tell(terminal, models[-1])
    return {"search": plan.name, "folder": str(plan.folder), "examples": len(examples), "models": models}


class _Registry:
    """The stores of router models and the journal; unused if not `needed`. Calls raise `StoreUnavailable`."""

    def __init__(self, settings: Settings, *, needed: bool) -> None:
        from jobs.tuning.stores import JobStores

        self._stores = JobStores(settings)
        self._needed = needed

    def examples(self, options: argparse.Namespace) -> list[Any]:
        from jobs.router_training.run import journal_examples

        return self._stores.ask(
            lambda stores: journal_examples(
                stores.routing, days=options.days, limit=options.limit, tenant=options.tenant
            )
        )

    def current(self, kind: ModelKind) -> Any:
        from jobs.router_training.run import current_model

        if not self._needed:
            return asyncio.run(current_model(None, kind))
        return self._stores.ask(lambda stores: current_model(stores.routing, kind))

    def register(self, candidate: Any) -> int:
        from jobs.router_training.run import register

        return self._stores.ask(lambda stores: register(stores.routing, candidate))


def _tell(terminal: Terminal, model: dict[str, Any]) -> None:
    if terminal.as_json:
        return
    where = "dry run" if model["version"] is None else f"version {model['version']}"
    rows = [(one["name"], one["items"], one["current"], one["candidate"], one["gain"]) for one in model["held_back"]]
    terminal.table(("held back", "items", model["compared_with"], "candidate", "gain (mean, low, high)"), rows)
    state = "better" if model["promote"] else "stays a candidate"
    terminal.note(f"{model['kind']} ({where}): {state}, {model['reason']}.")


if __name__ == "__main__":
    sys.exit(main())
