"""API keys. A secret is shown once, when the key is made."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import SecretStr

from ossa.sdk.values.listing import Listing
from ossa.sdk.values.received import Received


class Key(Received):
    """A key without its secret."""

    id: str
    name: str = ""
    tenant: str = ""
    scopes: tuple[str, ...] = ()
    prefix: str = ""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class NewKey(Received):
    """`secret.get_secret_value()` is what a caller sends; the fleet keeps a hash alone and cannot show it again."""

    key: Key
    secret: SecretStr


class Keys(Listing[Key]):
    columns: ClassVar[tuple[str, ...]] = ("id", "name", "tenant", "scopes", "prefix", "created_at", "revoked_at")
