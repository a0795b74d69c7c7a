"""API keys in memory."""

from __future__ import annotations

from datetime import datetime

from ossa.contracts.access import ApiKey
from ossa.contracts.errors import Conflict, NotFound
from ossa.testing.stores.gate import Gate


class MemoryKeys:
    """`ossa.contracts.stores.KeyStore`. A key's id and its secret are both unique."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._keys: dict[str, ApiKey] = {}
        self._ids: dict[bytes, str] = {}

    async def add(self, key: ApiKey, *, secret_sha256: bytes) -> None:
        """Adding the same key again is a no-op. Raises `Conflict` when the id or the secret is another's."""
        self._gate.check()
        known = self._ids.get(secret_sha256)
        if known is None and key.id not in self._keys:
            self._keys[key.id] = key
            self._ids[secret_sha256] = key.id
        elif known != key.id or self._keys[key.id].tenant != key.tenant:
            raise Conflict(f"A key {key.id} exists already.")

    async def find(self, secret_sha256: bytes) -> ApiKey | None:
        self._gate.check()
        known = self._ids.get(secret_sha256)
        return self._keys[known] if known else None

    async def keys(self, *, tenant: str | None = None) -> list[ApiKey]:
        self._gate.check()
        found = [key for key in self._keys.values() if tenant is None or key.tenant == tenant]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def revoke(self, key_id: str, *, at: datetime, tenant: str | None = None) -> ApiKey:
        self._gate.check()
        key = self._keys.get(key_id)
        if key is None or (tenant is not None and key.tenant != tenant):
            raise NotFound(f"There is no key {key_id}.")
        if key.revoked_at is None:
            self._keys[key_id] = key.model_copy(update={"revoked_at": at})
        return self._keys[key_id]
