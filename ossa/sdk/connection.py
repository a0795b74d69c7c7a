"""Finds out where the fleet is and which key to use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from ossa.contracts.value import Value
from ossa.sdk.errors import Unreachable, WrongUsage

RUN_FILE = "run.json"


class RunFile(BaseModel):
    """`<home>/run.json`, which a running fleet leaves for programs of the same person.

    The key itself lies in a file of its own that only its owner reads.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    api_key_file: Path | None = None

    @classmethod
    def read(cls, home: Path) -> RunFile | None:
        """Returns None when there is none or it cannot be read: a fleet that starts or stops replaces it."""
        try:
            run = cls.model_validate_json((home / RUN_FILE).read_bytes())
        except (OSError, ValueError):
            return None
        if run.api_key_file is not None and not run.api_key_file.is_absolute():
            return run.model_copy(update={"api_key_file": home / run.api_key_file})
        return run

    def api_key(self) -> str:
        """Returns the key, or the empty string when its file cannot be read."""
        if self.api_key_file is None:
            return ""
        try:
            return self.api_key_file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""


class Connection(Value):
    """The fleet's address and the key for it. `url` has no slash at its end; the key is masked in reprs."""

    url: str
    api_key: SecretStr = SecretStr("")

    def headers(self) -> dict[str, str]:
        key = self.api_key.get_secret_value()
        return {"Authorization": f"Bearer {key}"} if key else {}


def settings_home() -> Path:
    from ossa.settings import Settings

    return Settings().home_dir


def resolve(
    url: str | None = None,
    api_key: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    home: Callable[[], Path] = settings_home,
) -> Connection:
    """Takes the arguments, else OSSA_URL and OSSA_API_KEY, else the run file of a local fleet.

    The run file's key goes to the run file's own address and to no other.
    Raises `Unreachable` when no address is known, `WrongUsage` when it is not one or the key cannot be one.
    """
    env = os.environ if environ is None else environ
    address = url or env.get("OSSA_URL", "")
    key = api_key or env.get("OSSA_API_KEY", "")
    if not address or not key:
        run = RunFile.read(home())
        if run is not None:
            address = address or run.url
            if not key and _origin(address) == _origin(run.url):
                key = run.api_key()
    if not address:
        raise Unreachable("No fleet is known: give its url, set OSSA_URL, or start one here with `ossa up`.")
    _origin(address)
    return Connection(url=address.rstrip("/"), api_key=SecretStr(_key(key)))


def _key(given: str) -> str:
    """Strips the white space that files and shells leave around a key. The error does not show the key."""
    key = given.strip()
    if not (key.isascii() and key.isprintable()):
        raise WrongUsage("The API key holds control or non-ASCII characters: copy it again.", param="api_key")
    return key


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongUsage(f"{url!r} is no address of a fleet; it looks like http://127.0.0.1:8000.", param="url")
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)
