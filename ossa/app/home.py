"""The folder of a fleet's embedded data, run file, key and logs."""

from __future__ import annotations

import os
from pathlib import Path

from ossa.settings import WrongSetting


def make_home(home: Path) -> None:
    """Raises `WrongSetting` where it cannot be made or written to."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongSetting(f"OSSA_HOME: {home} cannot be made: {error.strerror}") from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise WrongSetting(f"OSSA_HOME: {home} cannot be written to")
