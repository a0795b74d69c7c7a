"""What tells a PostgreSQL that was laid down how far to recover, and what it says when it cannot."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from ossa.contracts.backups import BackupDamaged, Reach, Until
from ossa.contracts.errors import InvalidRequest, StoreUnavailable

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


def check_time(until: Until, missing: str | None, reach: Reach | None) -> None:
    """Raises `BackupDamaged` for a gap on the way to the newest, `InvalidRequest` for a time after all there is."""
    if until == "newest" and missing is not None:
        raise BackupDamaged(
            f"WAL segment {missing} is missing, and the archive went on: restore to a time before it (--to), or a "
            "backup by its id.",
            param=missing,
        )
    if isinstance(until, datetime) and (reach is None or until > reach.until):
        said = f"goes to {reach.until:%Y-%m-%dT%H:%M:%SZ}" if reach else "is empty"
        raise InvalidRequest(
            f"The archive of WAL {said}: {until.isoformat()} cannot be restored. Leave --to out for all there is.",
            param="to",
        )


def unknown_reach(file: str) -> BackupDamaged:
    return BackupDamaged(
        f"{file} is damaged: the next round of the archive makes it anew. Until then restore a backup by its id.",
        param=file,
    )


def explain(log: str, until: Until, missing: str, error: StoreUnavailable) -> None:
    """Returns where PostgreSQL only met the end of WAL before the time asked for, and none is missing.

    Then nothing was committed in between. Raises `BackupDamaged` where some is missing that may hold what was asked
    for, else `error`.
    """
    if _SHORT not in log or not isinstance(until, datetime):
        raise error
    found = _LAST.findall(log)
    if missing and not (found and datetime.fromisoformat(found[-1]) >= until):
        goes = f"ends at {found[-1]}: restore to that (--to)" if found else "is the backup: restore it by its id"
        raise BackupDamaged(
            f"WAL segment {missing} is missing; what is there before it {goes}.", param=missing
        ) from error
