"""API keys: `client.keys`. A secret is shown once, when the key is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import SecretStr

from ossa.contracts.access import ApiKey
from ossa.sdk.blocking import IO, Calls, call
from ossa.sdk.exchange import Request, given, path_of
from ossa.sdk.received import Listing, Received

KEYS = "/api/v1/keys"


class NewKey(Received):
    """`secret.get_secret_value()` is what a caller sends; the fleet keeps only a hash and cannot show it again."""

    key: ApiKey
    secret: SecretStr


class Keys(Listing[ApiKey]):
    columns: ClassVar[tuple[str, ...]] = ("id", "name", "tenant", "scopes", "prefix", "created_at", "revoked_at")


class KeyCalls(Calls[IO]):
    """`client.keys`; needs a key with the scope `admin`."""

    @call
    async def list(self) -> Keys:
        """Lists keys, without their secrets."""
        return await self._exchange.send(Keys, Request("GET", KEYS))

    @call
    async def create(self, name: str, *, scopes: Sequence[str] | None = None, tenant: str | None = None) -> NewKey:
        """Makes a key. The secret is in this answer and nowhere else. Default scopes: chat, tasks and agents:read."""
        body = given(name=name, scopes=scopes and list(scopes), tenant=tenant or None)
        # Not repeatable: each time makes another key.
        return await self._exchange.send(NewKey, Request("POST", KEYS, json=body, repeatable=False))

    @call
    async def revoke(self, key_id: str) -> ApiKey:
        """Ends a key. Revoking it twice is revoking it once."""
        return await self._exchange.send(ApiKey, Request("DELETE", path_of(KEYS, key_id)))
