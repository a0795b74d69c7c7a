"""What is told of backups: made, failed, restored, removed. The fact comes after the act, whose place is the vault."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ossa.contracts.backups import BackupSet, Restored
from ossa.contracts.errors import OssaError
from ossa.contracts.events import Fact
from ossa.contracts.facts import BackupCompleted, BackupFailed, BackupRemoved, BackupRestored, FactData
from ossa.contracts.origin import Origin, current_origin

log = logging.getLogger(__name__)

ACTOR = "system/backups"


def of_made(made: BackupSet) -> Fact:
    return _fact(BackupCompleted(backup=made.id, bytes=made.size, objects=made.objects), made.id, "completed")


def of_failure(error: Exception, id: str = "") -> Fact:
    code = error.code if isinstance(error, OssaError) else type(error).__name__
    return _fact(BackupFailed(backup=id, code=code, reason=str(error)), id or "none", "")


def of_restored(restored: Restored) -> Fact:
    data = BackupRestored(
        backup=restored.id,
        at=restored.at.isoformat() if restored.at is not None else "",
        objects=restored.objects,
        lost_objects=len(restored.lost_objects),
    )
    return _fact(data, restored.id, "")


def of_removed(id: str) -> Fact:
    return _fact(BackupRemoved(backup=id), id, "removed")


def try_to(tell: Callable[[Sequence[Fact]], None], facts: Sequence[Fact]) -> None:
    """Tells facts; a log that is away does not make a backup fail, and is logged."""
    if not facts:
        return
    try:
        tell(facts)
    except Exception as error:  # noqa: BLE001 - the backup is made, whatever became of the fact
        log.warning("backup_not_told", extra={"facts": len(facts), "reason": str(error)[:200]})


def _fact(data: FactData, id: str, name: str) -> Fact:
    origin = current_origin()
    return Fact(data, key=f"backup/{id}", name=name, origin=origin if origin.actor else Origin(actor=ACTOR))
