"""Which sets there are. A set is what has a manifest: it is written last."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from ossa.backups.objects import LIST, Listed, unpacked
from ossa.contracts.backups import BackupDamaged, BackupSet, Blobs, Verified
from ossa.contracts.errors import NotFound
from ossa.contracts.sealed import sealed, unsealed

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
        found, damaged = [], []
        for id in named:
            try:
                found.append(self._read(id))
            except BackupDamaged:
                damaged.append(id)
        return sorted(found, key=lambda one: (one.base.ended_at, one.id)), damaged

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
        """Its manifest first: what is half gone is no set."""
        self._vault.delete([_manifest(id)])
        self._vault.delete([blob.path for blob in self._vault.list(f"{SETS}/{id}")])

    def objects(self, of: BackupSet) -> Listed:
        """Raises `BackupDamaged`."""
        for file in of.files:
            if file.path.endswith(LIST):
                try:
                    data = self._vault.get(file.path)
                except NotFound as error:
                    raise BackupDamaged(f"{file.path} is missing.", param=file.path) from error
                if hashlib.sha256(data).hexdigest() != file.sha256:
                    raise BackupDamaged(f"{file.path} is damaged: its sha256 is another one.", param=file.path)
                return unpacked(data)
        return {}

    def verified(self, id: str) -> Verified | None:
        """What it was when it was verified first; None where that is not known, or not any more."""
        try:
            return unsealed(Verified, self._vault.get(f"{SETS}/{id}/{VERIFIED}"))
        except (NotFound, ValueError):
            return None

    def note(self, found: Verified) -> None:
        self._vault.put(f"{SETS}/{found.id}/{VERIFIED}", sealed(found))

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


def _manifest(id: str) -> str:
    return f"{SETS}/{id}/{MANIFEST}"
