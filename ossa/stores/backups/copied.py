"""A copy of a PostgreSQL, held against the manifest that PostgreSQL made with it."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from pathlib import Path

from ossa.contracts.backups import BackupDamaged

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
    for one in listed:
        path = one.get("Path") or bytes.fromhex(one["Encoded-Path"]).decode("utf-8", "surrogateescape")
        try:
            with (cluster / path).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise BackupDamaged(f"{path} is missing from the copy of PostgreSQL.", param=path) from error
        if found != one["Checksum"]:
            raise BackupDamaged(f"{path} of the copy of PostgreSQL is damaged.", param=path)


def wal_range(manifest: Path) -> tuple[int, str, str]:
    """Timeline, first and last LSN that make the copy consistent."""
    ranges = json.loads(manifest.read_bytes())["WAL-Ranges"]
    return ranges[-1]["Timeline"], ranges[0]["Start-LSN"], ranges[-1]["End-LSN"]
