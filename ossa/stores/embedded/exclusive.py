"""One process at a time starts or stops a server."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from ossa.contracts.errors import StoreUnavailable

POLL_S = 0.01


@contextmanager
def exclusive(folder: Path, server: str, *, wait_s: float) -> Iterator[None]:
    """Holds the folder's lock. Raises `StoreUnavailable` when another process has it for longer than `wait_s`."""
    deadline = monotonic() + wait_s
    with (folder / "lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > deadline:
                    raise StoreUnavailable(
                        f"Another process has been starting {server} in {folder} for too long."
                    ) from None
                sleep(POLL_S)
        yield
