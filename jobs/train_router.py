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
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ossa.cli.terminal import Terminal
    from ossa.contracts.routing import ModelKind
    from ossa.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
KINDS: tuple[ModelKind, ...] = ("labels", "quality")
MOST_TRIALS = 1_000


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the router's models and promote what is better.")
    parser.add_argument("--kind", action="append", choices=KINDS, help="once a kind; else all there is material for")
    parser.add_argument("--data", action="append", type=Path, default=[], metavar="FILE", help="a set, once each")
    parser.add_argument("--no-journal", action="store_true", help="learn from the sets alone")
    parser.add_argument("--tenant", default=None, help="only this tenant's tasks")
    parser.add_argument("--days", type=float, default=30.0, help="tasks that ended in the last so many days")
    parser.add_argument("--limit", type=int, default=20_000, help="at most so many tasks, the newest ones")
    parser.add_argument("--trials", type=_trials, default=16, help="parameters to try")
    parser.add_argument("--at-once", type=_trials, default=max(1, (os.cpu_count() or 2) - 1), help="trials at a time")
    parser.add_argument("--out", type=Path, default=None, help="where searches are kept; else in OSSA_HOME")
    parser.add_argument("--resume", default=None, metavar="NAME", help="go on with a search that was cut off")
    parser.add_argument("--dry-run", action="store_true", help="put nothing into the registry")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    sys.path.insert(0, str(ROOT))  # with --working-dir the package is a folder beside this file, not installed
    from ossa.cli.exit_code import exit_code_of
    from ossa.cli.terminal import Terminal
    from ossa.contracts.errors import OssaError
    from ossa.settings import Settings

    terminal = Terminal(as_json=options.json)
    try:
        report = run(options, Settings(), terminal)
    except OssaError as error:
        terminal.error(error)
        return exit_code_of(error)
    except ImportError as error:
        terminal.error(OssaError(f'{error.name} is missing: pip install "ossa-on-ray[train]".'))
        return 1
    if options.json:
        terminal.json(report)
    return 0


def run(options: argparse.Namespace, settings: Settings, terminal: Terminal) -> dict[str, Any]:
    """Trains kind by kind. Raises `OssaError`."""
    from jobs.router_training.from_sets import kind_of, material_of
    from jobs.router_training.run import Plan, train_candidate, trainer_of
    from ossa.contracts.errors import InvalidRequest

    sets: dict[ModelKind, list[Any]] = {kind: [] for kind in KINDS}
    for file in options.data:
        sets[kind_of(file)].append(material_of(file))
    stores = _Registry(settings, needed=not (options.no_journal and options.dry_run))
    examples = [] if options.no_journal else stores.examples(options)
    name = options.resume or datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    folder = (options.out or settings.home_dir / "router_training").resolve()
    plan = Plan(name, folder, options.trials, options.at_once, terminal.note)
    terminal.note(f"search {name} in {folder}: {len(examples)} examples of the journal, {len(options.data)} sets")
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
    return {"search": name, "folder": str(folder), "examples": len(examples), "models": models}


class _Registry:
    """The configured PostgreSQL, or the embedded one of this home; opened anew for each call: between two lie hours.

    Not `needed`, there is no registry. Calls raise `StoreUnavailable`.
    """

    def __init__(self, settings: Settings, *, needed: bool) -> None:
        self._settings = settings
        self._needed = needed

    def examples(self, options: argparse.Namespace) -> list[Any]:
        from jobs.router_training.run import journal_examples

        return self._with(
            lambda stores: journal_examples(
                stores.routing, days=options.days, limit=options.limit, tenant=options.tenant
            )
        )

    def current(self, kind: ModelKind) -> Any:
        from jobs.router_training.run import current_model

        if not self._needed:
            return asyncio.run(current_model(None, kind))
        return self._with(lambda stores: current_model(stores.routing, kind))

    def register(self, candidate: Any) -> Any:
        from jobs.router_training.run import register

        return self._with(lambda stores: register(stores.routing, candidate))

    def _with(self, action: Any) -> Any:
        async def act() -> Any:
            stores = PostgresStores(self._settings.database, dsn)
            await stores.open()
            try:
                return await action(stores)
            finally:
                await stores.close()

        from ossa.app.services import POSTGRES_DIR
        from ossa.stores.embedded_postgres import EmbeddedPostgres
        from ossa.stores.postgres import PostgresStores

        dsn = self._settings.database.dsn.get_secret_value()
        if dsn:
            return asyncio.run(act())
        server = EmbeddedPostgres(self._settings.home_dir / POSTGRES_DIR)
        began = not server.running
        dsn = server.start()
        try:
            return asyncio.run(act())
        finally:
            if began:
                server.stop()


def start_ray(cpus: int) -> None:
    """The Ray of `RAY_ADDRESS` (a job has it), else one of its own."""
    from ossa.app.ray_token import ensure_ray_token

    ensure_ray_token()
    import ray

    if ray.is_initialized():
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    else:
        paths = {"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}}
        ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, runtime_env=paths)


def _tell(terminal: Terminal, model: dict[str, Any]) -> None:
    if terminal.as_json:
        return
    where = "dry run" if model["version"] is None else f"version {model['version']}"
    rows = [(one["name"], one["items"], one["current"], one["candidate"], one["gain"]) for one in model["held_back"]]
    terminal.table(("held back", "items", model["compared_with"], "candidate", "gain (mean, low, high)"), rows)
    state = "better" if model["promote"] else "stays a candidate"
    terminal.note(f"{model['kind']} ({where}): {state}, {model['reason']}.")


def _trials(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MOST_TRIALS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_TRIALS}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
