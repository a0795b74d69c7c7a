"""Options that training jobs share, where a search is kept, and how a job ends.

Exit code 0 when it was done, better or not; 2 when a setting or an option is wrong; else 1.
"""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ossa.contracts.errors import InvalidRequest

if TYPE_CHECKING:
    from ossa.cli.terminal import Terminal
    from ossa.settings import Settings

MOST_TRIALS = 1_000


def add_search_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=trials, default=16, help="parameters to try")
    parser.add_argument("--at-once", type=trials, default=max(1, (os.cpu_count() or 2) - 1), help="trials at a time")
    parser.add_argument("--out", type=Path, default=None, help="where searches are kept; else in OSSA_HOME")
    parser.add_argument("--resume", default=None, metavar="NAME", help="go on with a search that was cut off")
    parser.add_argument("--dry-run", action="store_true", help="put nothing into the registry")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")


def plan_of(options: argparse.Namespace, home: Path, terminal: Terminal) -> Plan:
    """Raises `InvalidRequest` when the search to go on with is not there."""
    folder = (options.out or home).resolve()
    name = known_search(folder, options.resume) if options.resume else datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return Plan(name, folder, options.trials, options.at_once, terminal.note)


def carry_out(
    run: Callable[[argparse.Namespace, Settings, Terminal], dict[str, Any]], options: argparse.Namespace
) -> int:
    """The exit code; what `run` returns is printed with --json."""
    from ossa.cli.terminal import Terminal, exit_code_of
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


def trials(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MOST_TRIALS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_TRIALS}")
    return int(text)


def positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """How long to search, and where its state is kept."""

    name: str
    folder: Path
    trials: int
    at_once: int
    tell: Callable[[str], None] = lambda _: None

    @property
    def path(self) -> Path:
        return self.folder / self.name


def known_search(folder: Path, name: str) -> str:
    """Returns the run's name. Raises `InvalidRequest` when there is none to continue."""
    if not (folder / name).is_dir():
        there = sorted(one.name for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []
        raise InvalidRequest(
            f"There is no search {name} in {folder} ({', '.join(there) or 'none is'}).", param="resume"
        )
    return name


def as_kept(path: Path) -> Any:
    """The trainer of a search that was begun; None: this one begins."""
    return pickle.loads(path.read_bytes()) if path.exists() else None


def same_as_before(path: Path, trainer: T) -> T:
    """Returns the kept trainer, or keeps `trainer`: trials on other material cannot be compared."""
    if (kept := as_kept(path)) is not None:
        return cast(T, kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_bytes(pickle.dumps(trainer))
    draft.rename(path)
    return trainer
