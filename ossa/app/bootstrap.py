"""Creates what a fleet has from its first start on: its home folder, an API key to begin with, and an identity."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, SecretStr

from ossa.contracts.access import Scope
from ossa.contracts.origin import Origin, acting
from ossa.contracts.stores import KeyStore
from ossa.contracts.value import Value
from ossa.sdk.exchange import package_version
from ossa.settings import Settings, WrongSetting
from ossa.stores.postgres import PostgresStores
from ossa.tenancy.keys import digest, looks_like_key, mint


def make_home(home: Path) -> None:
    """Raises `WrongSetting` where it cannot be made or written to."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongSetting(f"OSSA_HOME: {home} cannot be made: {error.strerror}") from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise WrongSetting(f"OSSA_HOME: {home} cannot be written to")


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


class Bootstrapped(Value):
    """`fleet_id` tells fleets with different stores apart, whatever their names are."""

    key_file: Path
    fleet_id: str


def settings_digests(settings: Settings, secret: str) -> dict[str, str]:
    """Returns a digest of each setting's value by its name; without `secret` nobody can guess a value from it."""
    digests: dict[str, str] = {}
    for group, value in settings:
        fields = dict(value) if isinstance(value, BaseModel) else {"": value}
        for name, field in fields.items():
            text = field.get_secret_value() if isinstance(field, SecretStr) else repr(field)
            key = f"{group}.{name}" if name else group
            digests[key] = hmac.new(secret.encode(), str(text).encode(), hashlib.sha256).hexdigest()[:16]
    return digests


async def bootstrap(settings: Settings, dsn: str) -> Bootstrapped:
    """Opens the store, which brings its schema up to date, and creates the key and the identity unless they exist."""
    stores = PostgresStores(settings.database, dsn)
    await stores.open()
    try:
        with acting(Origin(actor="system/start")):
            secret = await stores.fleet.secret("configuration_key", secrets.token_urlsafe(32))
            digests = settings_digests(settings, secret)
            await stores.fleet.note_configuration("fleet", digests, version=package_version())
        return Bootstrapped(
            key_file=await first_key(settings.home_dir, stores.keys),
            fleet_id=await stores.fleet.secret("fleet_id", secrets.token_hex(8)),
        )
    finally:
        await stores.close()
