"""The answer cache's service, from settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ossa.contracts.configuration import AnswerSettings
from ossa.contracts.errors import StoreUnavailable

if TYPE_CHECKING:
    from ossa.contracts.vectors import VectorIndex
    from ossa.vortex.answers.cache import AnswerCache

FOLDER = "answers"
OWNER_WAIT_S = 30.0
"""For the replica before this one to end."""


@dataclass(frozen=True)
class AnswersFactory:
    """Builds it in the replica that owns the index. `home_dir` is where an embedded one lies.

    The drivers and numpy are imported there alone.
    """

    settings: AnswerSettings
    home_dir: Path

    async def __call__(self) -> AnswerCache:
        from ossa.vortex.answers.cache import AnswerCache
        from ossa.vortex.vectors import word_vectors

        return AnswerCache(
            self._index(), self.settings, vectorise=lambda text: word_vectors().of_question(text).tolist()
        )

    def _index(self) -> VectorIndex:
        """Raises `StoreUnavailable` when the driver is not installed."""
        try:
            return self._installed_index()
        except ImportError as error:
            raise StoreUnavailable("Qdrant is not installed: pip install 'ossa-on-ray[embedded]'.") from error

    def _installed_index(self) -> VectorIndex:
        from ossa.vortex.answers.cache import SCHEMA

        if self.settings.url:
            from ossa.stores.qdrant.server import QdrantIndex

            key = self.settings.api_key.get_secret_value()
            return QdrantIndex(self.settings.url, schema=SCHEMA, api_key=key, ca_file=self.settings.ca_file)
        from ossa.stores.qdrant.embedded import EmbeddedQdrant

        return EmbeddedQdrant(self.home_dir / FOLDER, schema=SCHEMA, wait_s=OWNER_WAIT_S)
