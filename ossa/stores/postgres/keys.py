"""API keys over PostgreSQL."""

from __future__ import annotations

from datetime import datetime

from ossa.contracts.access import ApiKey
from ossa.contracts.errors import Conflict, NotFound
from ossa.stores import store_facts
from ossa.stores.postgres.connection import Reader
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.rows import key_of
from ossa.stores.postgres.telling import told


class PostgresKeys:
    """`ossa.contracts.stores.KeyStore`. A key's id and its secret are both unique."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sql = load_queries("keys.sql")

    async def add(self, key: ApiKey, *, secret_sha256: bytes) -> None:
        """Adding the same key again is a no-op. Raises `Conflict` when the id or the secret is another's."""
        params = {
            **key.model_dump(),
            "scopes": [scope.value for scope in key.scopes],
            "secret_sha256": secret_sha256,
            **told(store_facts.of_key(key)),
        }
        await self._reader.execute(self._sql["add"], params)
        kept = await self.find(secret_sha256)
        if kept is None or kept.id != key.id or kept.tenant != key.tenant:
            raise Conflict(f"A key {key.id} exists already.")

    async def find(self, secret_sha256: bytes) -> ApiKey | None:
        row = await self._reader.row(self._sql["find"], {"secret_sha256": secret_sha256})
        return key_of(row) if row else None

    async def keys(self, *, tenant: str | None = None) -> list[ApiKey]:
        return [key_of(row) for row in await self._reader.rows(self._sql["keys"], {"tenant": tenant}, tenant=tenant)]

    async def revoke(self, key_id: str, *, at: datetime, tenant: str | None = None) -> ApiKey:
        params = {"key_id": key_id, "at": at, "tenant": tenant, **told(store_facts.of_revoked_key(key_id))}
        row = await self._reader.row(self._sql["revoke"], params, tenant=tenant)
        if row is None:
            raise NotFound(f"There is no key {key_id}.")
        return key_of(row)
