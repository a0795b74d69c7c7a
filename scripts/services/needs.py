"""What a service needs on this machine, and where that comes from."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_POSTGRES = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Need:
    """`package` is Debian's; without one, `remedy` says where it comes from."""

    what: str
    found: Callable[[], bool]
    package: str | None = None
    remedy: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.what} ({f'Debian package {self.package}' if self.package else self.remedy})"


def program(name: str, package: str) -> Need:
    """A program on the PATH."""
    return Need(name, lambda: shutil.which(name) is not None, package)


def module(name: str, distribution: str) -> Need:
    """A Python module of the dev extra."""
    return Need(
        f"the Python package {distribution}",
        lambda: importlib.util.find_spec(name) is not None,
        remedy="make setup-dev",
    )


def postgres_programs() -> Path | None:
    """The newest installed version's folder of programs."""
    found = [path.parent for path in _POSTGRES.glob("*/bin/postgres") if path.parent.parent.name.isdigit()]
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


POSTGRES = Need("PostgreSQL", lambda: postgres_programs() is not None, "postgresql")

BARMAN = program("barman", "barman")
"""For backups of a PostgreSQL of the user's; no service of its own."""
