"""Driver errors become ours, here alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeout,
)

from ossa.contracts.errors import StoreUnavailable

_RETRY_AFTER_S = 1.0


@contextmanager
def translated() -> Iterator[None]:
    """Raises `StoreUnavailable` for whatever the driver raises. Its message holds no key, value or password."""
    try:
        yield
    except (RedisError, OSError, asyncio.IncompleteReadError) as error:  # a `TimeoutError` is an `OSError`
        raise StoreUnavailable(_sentence(error), retry_after_s=_RETRY_AFTER_S) from error


def _sentence(error: BaseException) -> str:
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
        return "Redis refuses the user or password it was given."
    if isinstance(error, RedisTimeout | TimeoutError):
        return "Redis did not answer in time."
    return f"Redis is unavailable ({type(error).__name__})."
