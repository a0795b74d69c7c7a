"""A copy of a PostgreSQL: held against the manifest that PostgreSQL made with it, then told how far to recover."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

from ossa.contracts.backups import BackupDamaged, Reach, Until
from ossa.contracts.errors import InvalidRequest, StoreUnavailable

MANIFEST = "backup_manifest"
PARTS = (("base.tar.gz", ""), ("pg_wal.tar.gz", "pg_wal"))
"""Files of a base, and where in the cluster each belongs."""


def unpack(parts: Path, cluster: Path) -> None:
    """A cluster from its parts. Raises `BackupDamaged` for what is not as PostgreSQL gave it away."""
    for name, where in PARTS:
        try:
            with tarfile.open(parts / name, "r:gz") as packed:
                packed.extractall(cluster / where, filter="data")
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise BackupDamaged(f"{name} cannot be unpacked: {error}.", param=name) from error
    check_cluster(cluster, parts / MANIFEST)


def check_cluster(cluster: Path, manifest: Path) -> None:
    """Every file by its size and sha256. Raises `BackupDamaged` with the first that differs."""
    try:
        listed = json.loads(manifest.read_bytes())["Files"]
    except (ValueError, KeyError) as error:
        raise BackupDamaged(f"{MANIFEST} cannot be read.", param=MANIFEST) from error
    for entry in listed:
        path = entry.get("Path") or bytes.fromhex(entry["Encoded-Path"]).decode("utf-8", "surrogateescape")
        try:
            with (cluster / path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise BackupDamaged(f"{path} is missing from the copy of PostgreSQL.", param=path) from error
        if digest != entry["Checksum"]:
            raise BackupDamaged(f"{path} of the copy of PostgreSQL is damaged.", param=path)


def wal_range(manifest: Path) -> tuple[int, str, str]:
    """Timeline, first and last LSN that make the copy consistent."""
    ranges = json.loads(manifest.read_bytes())["WAL-Ranges"]
    return ranges[-1]["Timeline"], ranges[0]["Start-LSN"], ranges[-1]["End-LSN"]


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


def explain(log: str, until: Until, missing: str, error: StoreUnavailable) -> None:
    """Returns where PostgreSQL only met the end of WAL before the time asked for, and none is missing.

    Then nothing was committed in between. Raises `BackupDamaged` where some is missing that may hold what was asked
    for, else `error`.
    """
    if _SHORT not in log or not isinstance(until, datetime):
        raise error
    commits = _LAST.findall(log)
    if missing and not (commits and datetime.fromisoformat(commits[-1]) >= until):
        goes = f"ends at {commits[-1]}: restore to that (--to)" if commits else "is the backup: restore it by its id"
        raise BackupDamaged(
            f"WAL segment {missing} is missing; what is there before it {goes}.", param=missing
        ) from error
