"""Running a program of a backup: its last words become ours when it fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ossa.contracts.errors import StoreUnavailable

PATH = "/usr/local/bin:/usr/bin:/bin"


def run(command: Sequence[str | Path], *, what: str, env: Mapping[str, str] | None = None, limit_s: float) -> str:
    """What it wrote to standard output. `env` may hold a secret: it is told to the program alone.

    Raises `StoreUnavailable`, which begins with `what`.
    """
    try:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit_s,
            stdin=subprocess.DEVNULL,
            env={"PATH": PATH, "LC_ALL": "C", "TZ": "UTC", "HOME": os.environ.get("HOME", "/"), **(env or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise StoreUnavailable(f"{what}: {Path(command[0]).name} took more than {limit_s:.0f} s.") from error
    except OSError as error:
        raise StoreUnavailable(f"{what}: {command[0]} cannot be run: {error.strerror}.") from error
    if done.returncode != 0:
        raise StoreUnavailable(f"{what}: {last_words(done.stderr or done.stdout)}")
    return done.stdout


def last_words(said: str, lines: int = 3) -> str:
    return " ".join(said.strip().splitlines()[-lines:]) or "it said nothing"
