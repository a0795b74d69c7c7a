"""Cold objects of the memory: each is copied once, into a pool that all sets share.

An object never changes under its name. So a set is a list of names, and another backup costs what came since.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping

from ossa.contracts.backups import BackupDamaged, BackupFile, Blobs
from ossa.contracts.errors import NotFound

POOL = "objects"
LIST = "objects.json.gz"

Listed = dict[str, BackupFile]
"""By their names in the memory's storage."""


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
        try:
            data = self._vault.get(file.path)
        except NotFound as error:
            raise BackupDamaged(f"{file.path} is missing.", param=file.path) from error
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise BackupDamaged(f"{file.path} is damaged: its sha256 is another one.", param=file.path)
        return data

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
