"""The schedule of backups as a detached actor, beside the embedded PostgreSQL; its metrics are on Ray's endpoint."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ossa.app.services import Backing
from ossa.contracts.backups import BackupSet
from ossa.contracts.origin import Origin, acting
from ossa.observability import AtMost, MetricGroup, counter, gauge
from ossa.observability.logs import write_log_lines
from ossa.settings import Settings

NAME = "ossa:backups"
STOP_S = 30.0


class BackupMetrics(MetricGroup):
    endpoint = "ray"

    last = gauge("ossa_backup_last_success_timestamp_seconds", "When the newest backup ended.")
    size = gauge("ossa_backup_size_bytes", "Of the newest backup, cold memories apart.")
    reach = gauge("ossa_backup_wal_until_timestamp_seconds", "What was committed by then is archived.")
    failures = counter("ossa_backup_failures_total", "Rounds that failed.", step=AtMost(8, "steps of a round"))


class RayBackupMeters:
    """Tells `BackupMetrics` on Ray's own endpoint."""

    def __init__(self) -> None:
        self._metrics = BackupMetrics.on_ray()

    def made(self, last: BackupSet) -> None:
        self._metrics["last"].set(last.ended_at.timestamp())
        self._metrics["size"].set(last.size)

    def reached(self, until: datetime) -> None:
        self._metrics["reach"].set(until.timestamp())

    def failed(self, step: str) -> None:
        self._metrics["failures"].inc(1, tags={"step": step})


class BackupActor:
    """What it was at when it dies is begun again by the next one."""

    def __init__(self, settings: Settings) -> None:
        from ossa.app.backups import make_backups
        from ossa.backups.schedule import BackupSchedule

        write_log_lines()
        self._backups = make_backups(settings)
        schedule = BackupSchedule(
            self._backups,
            RayBackupMeters(),
            every_hours=settings.backup.every_hours,
            wal_every_s=settings.backup.wal_every_s,
            now=lambda: datetime.now(UTC),
        )
        with acting(Origin(actor="system/backups")):
            self._running = asyncio.get_event_loop().create_task(schedule.run())

    async def ready(self) -> None: ...

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.to_thread(self._backups.stop)


def start_backups(settings: Settings, backing: Backing) -> None:
    """Where settings want it; on this node, whose home it is."""
    if not settings.backup.enabled:
        return
    if "postgres" not in backing.embedded and not settings.database.dsn.get_secret_value():
        settings = settings.model_copy(update={"database": settings.database.model_copy(update={"dsn": backing.dsn})})
    actor: Any = (
        ray.remote(BackupActor)
        .options(
            name=NAME,
            namespace=settings.fleet.namespace,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False),
        )
        .remote(settings)
    )
    ray.get(actor.ready.remote(), timeout=STOP_S)


def stop_backups(namespace: str) -> None:
    """A backup that is being made is none; the next schedule makes it."""
    try:
        actor = ray.get_actor(NAME, namespace=namespace)
    except ValueError:
        return
    try:
        ray.get(actor.stop.remote(), timeout=STOP_S)
    finally:
        ray.kill(actor, no_restart=True)
