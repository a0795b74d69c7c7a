"""The schema's migrations: `NNNN_name.sql`, applied in order, never taken back."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import LiteralString


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: LiteralString


def load_migrations() -> list[Migration]:
    """In order; versions count from 1 without holes."""
    files = sorted((f for f in resources.files(__name__).iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    found = [Migration(int(f.name[:4]), f.name[5:-4], f.read_text("utf-8")) for f in files]
    assert [m.version for m in found] == list(range(1, len(found) + 1)), "migrations must count from 1 without holes"
    return found
