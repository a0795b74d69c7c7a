"""Mints API keys and reads them from requests. A secret is shown once; its sha256 is stored."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ossa.contracts.access import ApiKey, Scope

KEY_PREFIX = "ossa_sk_"
SHOWN_CHARACTERS = len(KEY_PREFIX) + 6
_SECRET = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True)
class MintedKey:
    """A new key and its secret, which exists nowhere else."""

    key: ApiKey
    secret: str = field(repr=False)

    @property
    def secret_sha256(self) -> bytes:
        return digest(self.secret)


def mint(
    *, tenant: str, name: str, scopes: Iterable[Scope], now: datetime, expires_at: datetime | None = None
) -> MintedKey:
    """Makes a key of 256 random bits."""
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=f"key_{secrets.token_hex(8)}",
        tenant=tenant,
        name=name,
        scopes=tuple(dict.fromkeys(scopes)),
        prefix=secret[:SHOWN_CHARACTERS],
        created_at=now,
        expires_at=expires_at,
    )
    return MintedKey(key=key, secret=secret)


def digest(secret: str) -> bytes:
    """Returns the stored hash. A plain hash is enough: the secret is 256 random bits, not a password."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def looks_like_key(secret: str) -> bool:
    """Checks the form alone; a secret of another form needs no look-up in the store."""
    return _SECRET.fullmatch(secret) is not None


def secret_from_headers(authorization: str | None, x_api_key: str | None) -> str | None:
    """Returns the key of `Authorization: Bearer KEY`, else of `X-API-Key: KEY`, else None."""
    if authorization:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer" and value.strip():
            return value.strip()
    return x_api_key.strip() if x_api_key and x_api_key.strip() else None
