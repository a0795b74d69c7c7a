"""Opens an object storage from a URL and options, as settings have them; syncs objects that lie in a folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError
from obstore.store import from_url

from ossa.contracts.errors import InvalidRequest, StoreUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

FOLDER_SCHEME = "file://"
TRIES = 5
"""After the first. The driver's own are ten: somebody waits for a backup's command."""

_CLIENT: dict[str, Any] = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "86400s"}
"""Silence is bounded, and not how long a file may take: the driver's 30 s would hold for the whole of it."""

_OF_CLIENT = frozenset(
    (
        *("allow_http", "allow_invalid_certificates", "connect_timeout", "default_content_type", "http1_only"),
        *("http2_keep_alive_interval", "http2_keep_alive_timeout", "http2_keep_alive_while_idle", "http2_only"),
        *("pool_idle_timeout", "pool_max_idle_per_host", "proxy_ca_certificate", "proxy_excludes", "proxy_url"),
        *("randomize_addresses", "read_timeout", "root_certificate", "timeout", "user_agent"),
    )
)
"""Options of the HTTP client: the driver wants them apart from the storage's."""

_FILES = ("root_certificate", "proxy_ca_certificate")
"""The driver wants what is in them."""

_SWITCHES = {"true": True, "false": False}
_BACKOFF = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2}


def folder_of(url: str) -> Path | None:
    """Returns the folder of `file:///FOLDER` or a plain path; None for a storage elsewhere."""
    if "://" in url and not url.startswith(FOLDER_SCHEME):
        return None
    return Path(url.removeprefix(FOLDER_SCHEME)).expanduser().absolute()


def open_storage(url: str, options: Mapping[str, str], *, param: str) -> ObjectStore:
    """`s3://BUCKET/PREFIX`, `gs://`, `az://`. Nothing is asked of it yet.

    Args:
        options: the driver's of that kind of storage (`endpoint`, `region`, `access_key_id`, ...) and of HTTP
            (`allow_http`, `proxy_url`, `timeout` as `30s`, `root_certificate` as a PEM file's path, ...).
        param: the setting at fault.

    Raises `InvalidRequest`. Its message holds no option's value but a file's name.
    """
    shown = url.split("?")[0]
    named = {name.lower(): value for name, value in options.items()}
    client: Any = _CLIENT | {
        name: _SWITCHES.get(text.lower(), text) for name, text in named.items() if name in _OF_CLIENT
    }
    others: dict[str, Any] = {name: text for name, text in named.items() if name not in _OF_CLIENT}
    for name in client.keys() & set(_FILES):
        try:
            client[name] = Path(named[name]).read_bytes()
        except OSError as error:
            raise InvalidRequest(
                f"{name} is a file's name, and {named[name][:80]} cannot be read.", param=param
            ) from error
    retry: Any = {"max_retries": TRIES, "backoff": _BACKOFF}
    try:
        return from_url(url, client_options=client, retry_config=retry, **others)
    except BaseException as error:  # a panic of the driver is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        having = f", with the options {', '.join(sorted(named))}" if named else ""
        raise InvalidRequest(f"{shown} is no storage that can be used{having}.", param=param) from None


AT_ONCE = 500
"""Objects of one request to delete."""


def force_to_disk(folder: Path, path: str) -> None:
    """Syncs an object of a folder, and its names in the folders above."""
    file = folder / path
    for place in (file, *(parent for parent in file.parents if parent.is_relative_to(folder))):
        opened = os.open(place, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


RETRY_AFTER_S = 1.0


@asynccontextmanager
async def translated(answer_s: float) -> AsyncIterator[None]:
    """Raises `StoreUnavailable` for whatever the driver raises, and after `answer_s`. Its message holds no key."""
    try:
        async with asyncio.timeout(answer_s):
            yield
    except TimeoutError as error:
        raise StoreUnavailable("The object storage did not answer in time.", retry_after_s=RETRY_AFTER_S) from error
    except (BaseError, OSError, ValueError) as error:
        said = f"The object storage is unavailable ({type(error).__name__})."
        raise StoreUnavailable(said, retry_after_s=RETRY_AFTER_S) from error
