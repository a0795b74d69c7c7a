"""One backup of a home at a time, and the folder it works in."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from ossa.contracts.errors import Conflict

WORK = ".backup"
_POLL_S = 0.05


def work_folder(home: Path) -> Path:
    """Others may pass through, not look: a server that is tried out there has a user of its own."""
    folder = home / WORK
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
    return folder


@contextmanager
def exclusive_lock(home: Path, what: str, *, wait_s: float = 0.0) -> Iterator[Path]:
    """Its work folder, while nobody else is at `what` of this home. Raises `Conflict` after `wait_s`."""
    folder = work_folder(home)
    deadline = monotonic() + wait_s
    with (folder / f"{what}.lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() >= deadline:
                    raise Conflict(f"Another process is at the {what} of {home}: wait until it has ended.") from None
                sleep(_POLL_S)
        yield folder
