"""The key that a fresh fleet comes with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ossa.contracts.access import Scope
from ossa.contracts.stores import KeyStore
from ossa.tenancy.keys import digest, looks_like_key, mint

FILE = "api_key"
TENANT = "default"
NAME = "admin of this installation"


async def first_key(home: Path, keys: KeyStore) -> Path:
    """A file (0600) with a secret that the store knows and has not revoked; made when there is none.

    Returns the file, not the secret.
    """
    path = home / FILE
    secret = path.read_text().strip() if path.exists() else ""
    if looks_like_key(secret):
        known = await keys.find(digest(secret))
        if known is not None and known.revoked_at is None:
            return path
    minted = mint(tenant=TENANT, name=NAME, scopes=[Scope.ADMIN], now=datetime.now(UTC))
    await keys.add(minted.key, secret_sha256=minted.secret_sha256)
    _keep(path, minted.secret)
    return path


def _keep(path: Path, secret: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(secret + "\n")
