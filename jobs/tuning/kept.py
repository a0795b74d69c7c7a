"""Where a search is kept, and that it goes on with the material it began with."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from ossa.contracts.errors import InvalidRequest

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
