"""What the fleet needs beside Ray: a PostgreSQL and model endpoints, the embedded ones where none is configured."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from ossa.backups.service import refuse_marked
from ossa.contracts.configuration import Models
from ossa.cost.prices import priced
from ossa.embedded.model import EmbeddedModel
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.models.tiers import needs_embedded, with_embedded
from ossa.settings import Settings

log = logging.getLogger(__name__)

POSTGRES_DIR = "postgres"


@dataclass(frozen=True)
class Backing:
    """Where the stores and the models are. `embedded` names what was started here."""

    dsn: SecretStr
    models: Models
    embedded: tuple[str, ...]


class Services:
    """Starts what is not configured; adopts what runs already, from an earlier start in the same home.

    Blocking: for composition roots.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._home: Path = settings.home_dir
        self.postgres = (
            None if settings.database.dsn.get_secret_value() else EmbeddedPostgres(self._home / POSTGRES_DIR)
        )
        self.model = EmbeddedModel(self._home, settings.models) if needs_embedded(settings.models) else None

    def start(self) -> Backing:
        """Raises `StoreUnavailable` or `NotReady` with what is missing and how to get it.

        Raises `Conflict` for a home that a restore has not brought to its end.
        """
        refuse_marked(self._home)
        dsn, models, embedded = self._settings.database.dsn, self._settings.models, []
        if self.postgres is not None:
            dsn = SecretStr(self.postgres.start())
            embedded.append("postgres")
            if not self._settings.backup.enabled:
                self.postgres.drop_wal()  # nobody would take it away
        if self.model is not None:
            models = with_embedded(models, self.model.start())
            embedded.append("model")
        return Backing(dsn=dsn, models=priced(models), embedded=tuple(embedded))

    def ensure(self) -> None:
        """Start again what has died."""
        if self.model is not None:
            self.model.ensure()
        if self.postgres is not None and not self.postgres.running:
            log.warning("embedded_postgres_died")
            self.postgres.start()

    def stop(self) -> None:
        """End what runs, in the reverse order, whoever started it in this home."""
        with contextlib.ExitStack() as stack:
            if self.postgres is not None:
                stack.callback(self.postgres.stop)
            if self.model is not None:
                stack.callback(self.model.stop)

    def erase(self) -> None:
        """Remove the embedded PostgreSQL and its data for good."""
        if self.postgres is not None:
            self.postgres.erase()
