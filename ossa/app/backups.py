"""Backups, from settings."""

from __future__ import annotations

from pathlib import Path

from ossa.app.memory import FOLDER as MEMORY
from ossa.app.run_file import is_running, read_run_file
from ossa.backups.service import Backups
from ossa.contracts.backups import BackupEngine, Blobs
from ossa.contracts.value import Progress
from ossa.sdk.exchange import package_version
from ossa.settings import Settings

FOLDER = "backups"
OBJECTS = "objects"


def make_backups(settings: Settings, *, progress: Progress = lambda _: None) -> Backups:
    """Raises `InvalidRequest` for a storage that cannot be used."""
    from ossa.stores.backups.lock import exclusive_lock
    from ossa.stores.backups.server import RestoredPostgres
    from ossa.stores.objects.blobs import ObjectBlobs

    home = settings.home_dir
    vault = ObjectBlobs(settings.backup.url or str(home / FOLDER), options=settings.backup.options)

    def objects(of: Path) -> Blobs:
        memory = settings.memory
        url = memory.objects_url or str(of / MEMORY / OBJECTS)
        return ObjectBlobs(url, options=memory.objects_options, param="memory.objects_url")

    return Backups(
        home,
        engine=_engine(settings, vault),
        vault=vault,
        objects=objects,
        restored=RestoredPostgres(),
        exclusive_lock=exclusive_lock,
        runs=_runs,
        keep_days=settings.backup.keep_days,
        version=package_version(),
        progress=progress,
    )


def _engine(settings: Settings, vault: Blobs) -> BackupEngine:
    """Backs the embedded PostgreSQL up by its own means, and a server of the user's by Barman."""
    if not settings.database.dsn.get_secret_value():
        from ossa.stores.backups.embedded import EmbeddedBackups

        return EmbeddedBackups(settings.home_dir, vault, keeps=settings.backup.enabled)
    from ossa.stores.backups.barman import BarmanBackups, barman_folder

    backup = settings.backup
    dsn = backup.dsn.get_secret_value() or settings.database.dsn.get_secret_value()
    return BarmanBackups(
        barman_folder(vault.url), dsn=dsn, home=settings.home_dir, streams=backup.enabled, bin_dir=backup.programs
    )


def _runs(home: Path) -> bool:
    run = read_run_file(home)
    return run is not None and is_running(run)
