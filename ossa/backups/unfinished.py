"""The mark of a home that a restore has begun to replace: what is in it is neither the old one nor whole."""

from __future__ import annotations

import os
from pathlib import Path

from ossa.contracts.errors import Conflict

RESTORING = "restoring"


def mark(home: Path) -> None:
    """On the disk when it returns."""
    with (home / RESTORING).open("w") as file:
        file.write("A restore of this home has not come to its end.\n")
        file.flush()
        os.fsync(file.fileno())
    _force(home)


def unmark(home: Path) -> None:
    (home / RESTORING).unlink(missing_ok=True)
    _force(home)


def is_marked(home: Path) -> bool:
    return (home / RESTORING).exists()


def refuse_marked(home: Path) -> None:
    """Raises `Conflict`. For whoever is about to work on a home."""
    if is_marked(home):
        raise Conflict(
            f"A restore of {home} was ended half-way: what is there is not whole. "
            f"`ossa backup restore --into {home} --force` does it again."
        )


def _force(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
