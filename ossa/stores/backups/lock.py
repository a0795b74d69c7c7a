"""One backup of a home at a time, and the folder it works in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ossa.contracts.errors import Conflict
from ossa.embedded.process import file_lock

WORK = ".backup"


def work_folder(home: Path) -> Path:
    """Others may pass through, not look: a server that is tried out there has a user of its own."""
    folder = home / WORK
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
    return folder


@contextmanager
def exclusive_lock(home: Path, what: str, *, wait_s: float = 0.0) -> Iterator[Path]:
    """Yields the home's work folder while no other process is at `what` of it. Raises `Conflict` after `wait_s`."""
    folder = work_folder(home)
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / f"{what}.lock", wait_s=wait_s))
        except TimeoutError:
            raise Conflict(f"Another process is at the {what} of {home}: wait until it has ended.") from None
        yield folder
