"""Which sets there are, and the cold objects that they list. A set is what has a manifest: it is written last.

An object never changes under its name, so each is copied once, into a pool that all sets share: a set is a list of
names, and another backup costs what came since.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from ossa.contracts.backups import BackupDamaged, BackupFile, BackupSet, Blobs, Verified, sealed, unsealed
from ossa.contracts.errors import NotFound

POOL = "objects"
LIST = "objects.json.gz"

Listed = dict[str, BackupFile]
"""Names in the memory's storage to the copies in the vault."""


class ObjectPool:
    """Args:
    vault: where backups go.
    """

    def __init__(self, vault: Blobs) -> None:
        self._vault = vault

    def take(self, source: Blobs, known: Mapping[str, BackupFile]) -> Listed:
        """Copy what is not in the pool; all that the source has. `known`: what was listed before."""
        pool = {blob.path: blob.size for blob in self._vault.list(POOL)}
        listed: Listed = {}
        for blob in source.list(""):
            copied = known.get(blob.path)
            if copied is None or pool.get(copied.path) != copied.size:
                try:
                    copied = self._copy(source, blob.path, pool)
                except NotFound:
                    continue  # somebody recalled it meanwhile: its content is in PostgreSQL again
            listed[blob.path] = copied
        return listed

    def check(self, listed: Iterable[BackupFile]) -> None:
        """Read all. Raises `BackupDamaged` with the first that is not what was written."""
        for file in listed:
            self.read(file)

    def read(self, file: BackupFile) -> bytes:
        """Raises `BackupDamaged`."""
        return _read_whole(self._vault, file)

    def give(self, path: str, target: Blobs, listed: BackupFile | None) -> bool:
        """Put one back; False when the pool has none that is whole. One that is there is left as it is.

        `listed`: what a set says of it; one that came later is held against the checksum in itself.
        """
        try:
            data = self.read(listed) if listed is not None else self._vault.get(f"{POOL}/{path}")
            zlib.decompress(data)
        except (NotFound, BackupDamaged, zlib.error):
            return False
        target.put(path, data, fresh=True)
        return True

    def _copy(self, source: Blobs, path: str, pool: Mapping[str, int]) -> BackupFile:
        data = source.get(path)
        name = f"{POOL}/{path}"
        if pool.get(name) != len(data) or self._vault.get(name) != data:
            self._vault.put(name, data)
        return BackupFile(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def packed(listed: Listed) -> bytes:
    rows = [[path, file.size, file.sha256] for path, file in sorted(listed.items())]
    return gzip.compress(json.dumps(rows).encode(), mtime=0)


def unpacked(data: bytes) -> Listed:
    """Raises `BackupDamaged`."""
    try:
        rows = json.loads(gzip.decompress(data))
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise BackupDamaged(f"{LIST} cannot be read.", param=LIST) from error
    return {path: BackupFile(path=f"{POOL}/{path}", size=size, sha256=digest) for path, size, digest in rows}


SETS = "sets"
MANIFEST = "manifest.json"
VERIFIED = "verified.json"
ABANDONED = timedelta(days=1)
"""Parts without a manifest that nobody has added to for so long were a killed backup's."""

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


class Catalogue:
    def __init__(self, vault: Blobs) -> None:
        self._vault = vault

    def sets(self) -> list[BackupSet]:
        """The oldest first; without those whose manifest cannot be read."""
        return self.all()[0]

    def all(self) -> tuple[list[BackupSet], list[str]]:
        """The oldest first, and the ids of those whose manifest cannot be read."""
        named = [blob.path.split("/")[1] for blob in self._vault.list(SETS) if blob.path.endswith(f"/{MANIFEST}")]
        whole, damaged = [], []
        for id in named:
            try:
                whole.append(self._read(id))
            except BackupDamaged:
                damaged.append(id)
        return sorted(whole, key=lambda one: (one.base.ended_at, one.id)), damaged

    def set(self, id: str) -> BackupSet:
        """Raises `NotFound`, `BackupDamaged`."""
        if _ID.fullmatch(id) is None:
            raise NotFound(f"There is no backup {id!r} in {self._vault.url}: `ossa backup list` names them.")
        try:
            return self._read(id)
        except NotFound:
            raise NotFound(f"There is no backup {id!r} in {self._vault.url}: `ossa backup list` names them.") from None

    def add(self, made: BackupSet) -> None:
        self._vault.put(_manifest(made.id), sealed(made))

    def remove(self, id: str) -> None:
        """Deletes the manifest first, so that a half-deleted set is not listed."""
        self._vault.delete([_manifest(id)])
        self._vault.delete([blob.path for blob in self._vault.list(f"{SETS}/{id}")])

    def objects(self, of: BackupSet) -> Listed:
        """Raises `BackupDamaged`."""
        for file in of.files:
            if file.path.endswith(LIST):
                return unpacked(_read_whole(self._vault, file))
        return {}

    def verified(self, id: str) -> Verified | None:
        """Returns the result of the first verification; None where it is not known, or not any more."""
        try:
            return unsealed(Verified, self._vault.get(f"{SETS}/{id}/{VERIFIED}"))
        except (NotFound, ValueError):
            return None

    def note(self, verified: Verified) -> None:
        self._vault.put(f"{SETS}/{verified.id}/{VERIFIED}", sealed(verified))

    def abandoned(self, now: datetime) -> Sequence[str]:
        """Ids of parts that a killed backup left."""
        parts: dict[str, list[datetime]] = {}
        whole = set()
        for blob in self._vault.list(SETS):
            id = blob.path.split("/")[1]
            parts.setdefault(id, []).append(blob.modified)
            if blob.path.endswith(f"/{MANIFEST}"):
                whole.add(id)
        return [id for id, times in parts.items() if id not in whole and max(times) < now - ABANDONED]

    def _read(self, id: str) -> BackupSet:
        data = self._vault.get(_manifest(id))
        try:
            return unsealed(BackupSet, data)
        except ValueError as error:
            raise BackupDamaged(
                f"{_manifest(id)} cannot be read: it is damaged, or of a newer ossa-on-ray.", param=_manifest(id)
            ) from error


def _read_whole(vault: Blobs, file: BackupFile) -> bytes:
    """Raises `BackupDamaged` for a file that is gone or not what was written."""
    try:
        data = vault.get(file.path)
    except NotFound as error:
        raise BackupDamaged(f"{file.path} is missing.", param=file.path) from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise BackupDamaged(f"{file.path} is damaged: its sha256 is another one.", param=file.path)
    return data


def _manifest(id: str) -> str:
    return f"{SETS}/{id}/{MANIFEST}"
