"""What tells a PostgreSQL that was laid down how far to recover, and what it says when it cannot."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from ossa.contracts.backups import Until

FETCHED = "ossa_restored_wal"
"""In the cluster's folder, until it has recovered: WAL from the archive, deflated."""
MISSING = "missing"
"""A file in there: the segment that comes after the last one, where later ones are there."""

_CONFIGURATION = "postgresql.auto.conf"
_TIME = "recovery_target_time"
_SIGNAL = "recovery.signal"
_SHORT = "recovery ended before configured recovery target was reached"
_LAST = re.compile(r"last completed transaction was at log time (\S+ \S+)")


def prepare(cluster: Path, *, until: Until, timeline: int) -> None:
    """To be recovered at the next start, up to what was committed until then, and to go on from there."""
    target = {
        "restore_command": f'gzip -dc "{FETCHED}/%f.gz" > "%p"',
        "recovery_target_timeline": str(timeline) if until != "base" else "current",
        "recovery_target_action": "promote",
        "hot_standby": "off",
    }
    if until == "base":
        target["recovery_target"] = "immediate"
    elif isinstance(until, datetime):
        target[_TIME] = until.astimezone(UTC).isoformat(sep=" ")
    lines = [f"{name} = '{value}'\n" for name, value in target.items()]
    (cluster / _CONFIGURATION).write_text("".join(lines))
    (cluster / _SIGNAL).touch()


def without_time(cluster: Path) -> None:
    """All of the WAL that is there: nothing was committed between its end and the time that was asked for."""
    lines = (cluster / _CONFIGURATION).read_text().splitlines(keepends=True)
    (cluster / _CONFIGURATION).write_text("".join(line for line in lines if not line.startswith(_TIME)))


def finished(cluster: Path) -> None:
    """Nothing of the recovery is left."""
    (cluster / _CONFIGURATION).write_text("")


def ended_short(log: str) -> bool:
    return _SHORT in log


def last_commit(log: str) -> str | None:
    found = _LAST.findall(log)
    return found[-1] if found else None
