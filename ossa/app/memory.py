"""The memory's service, from settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ossa.app.connections import shared_cache
from ossa.app.factories import StoresFactory
from ossa.contracts.configuration import CacheSettings, MemorySettings
from ossa.contracts.errors import StoreUnavailable

if TYPE_CHECKING:
    from ossa.contracts.vectors import VectorIndex
    from ossa.memory.service import MemoryService
    from ossa.settings import Settings

log = logging.getLogger(__name__)

FOLDER = "memory"
OWNER_WAIT_S = 30.0
"""For the replica before this one to end."""


@dataclass(frozen=True)
class MemoryFactory:
    """Builds it in the replica that serves it. The drivers and numpy are imported there alone."""

    settings: MemorySettings
    cache: CacheSettings
    stores: StoresFactory
    home_dir: Path

    async def __call__(self) -> MemoryService:
        from ossa.memory.service import MemoryService
        from ossa.memory.tiers import HotCopies, WarmVectors
        from ossa.stores.objects.memory import ObjectMemory

        stores = self.stores()
        await stores.open()
        folder = self.home_dir / FOLDER
        url = self.settings.objects_url or f"file://{folder / 'objects'}"
        hot = HotCopies(shared_cache(self.cache, room="memory"), answer_s=self.cache.answer_s)
        return MemoryService(
            stores.memory,
            hot,
            WarmVectors(self._index(folder)),
            ObjectMemory(url, options=self.settings.objects_options),
            embed=_embed,
            policy=self.settings.policy,
            sweep_s=self.settings.sweep_s,
            cache_counts=hot.counts,
        )

    def _index(self, folder: Path) -> VectorIndex:
        """Without a driver the memory goes on, and cannot be searched by meaning."""
        from ossa.memory.tiers import memory_schema
        from ossa.vortex.vectors import DIMENSIONS

        schema = memory_schema(DIMENSIONS)
        try:
            if self.settings.qdrant_url:
                from ossa.stores.qdrant.server import QdrantIndex

                key = self.settings.qdrant_key.get_secret_value()
                return QdrantIndex(
                    self.settings.qdrant_url, schema=schema, api_key=key, ca_file=self.settings.qdrant_ca_file
                )
            from ossa.stores.qdrant.embedded import EmbeddedQdrant

            return EmbeddedQdrant(folder / "vectors", schema=schema, wait_s=OWNER_WAIT_S)
        except ImportError:
            log.warning("memory_without_index", extra={"missing": "pip install 'ossa-on-ray[embedded]'"})
            from ossa.memory.tiers import AbsentIndex

            return AbsentIndex("Qdrant is not installed: pip install 'ossa-on-ray[embedded]'.")


async def _embed(text: str) -> Sequence[float]:
    """Static word vectors: offline, some ten microseconds a word."""
    from ossa.vortex.vectors import word_vectors

    return await asyncio.to_thread(lambda: word_vectors().of_question(text).tolist())


def reindex_all(settings: Settings) -> int:
    """Every memory that is found by its meaning is indexed again by the next sweeps; how many.

    Raises `StoreUnavailable` where PostgreSQL does not run.
    """
    from ossa.app.services import POSTGRES_DIR
    from ossa.embedded.postgres import EmbeddedPostgres
    from ossa.stores.backups.server import mark_all

    dsn = settings.database.dsn.get_secret_value()
    if not dsn:
        server = EmbeddedPostgres(settings.home_dir / POSTGRES_DIR)
        if not server.running:
            raise StoreUnavailable(f"The PostgreSQL of {settings.home_dir} does not run: start the fleet first.")
        dsn = server.start()
    return mark_all(dsn)


def check_memory(settings: MemorySettings) -> None:
    """Raises `StoreUnavailable` for replicas that would share a folder."""
    if settings.replicas > 1 and not settings.shared:
        raise StoreUnavailable(
            "Several replicas of the memory need OSSA_MEMORY__QDRANT_URL and OSSA_MEMORY__OBJECTS_URL.",
            param="memory.replicas",
        )
