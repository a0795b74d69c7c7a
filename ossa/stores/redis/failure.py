"""Driver errors become ours, here alone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    RedisError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeout,
)

from ossa.contracts.errors import StoreUnavailable

_RETRY_AFTER_S = 1.0
DRIVER_ERRORS = (RedisError, OSError, asyncio.IncompleteReadError)  # a `TimeoutError` is an `OSError`


@contextmanager
def translated() -> Iterator[None]:
    """Raises `StoreUnavailable` for whatever the driver raises. Its message holds no key, value or password."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise unavailable(error) from error


def unavailable(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(_sentence(error), retry_after_s=_RETRY_AFTER_S)


def _sentence(error: BaseException) -> str:
    if (fault := _tls_fault(error)) is not None:
        return fault
    if isinstance(error, AuthenticationError | AuthorizationError):
        return "Redis refuses the user or password it was given: look at OSSA_CACHE__DSN."
    if isinstance(error, NoPermissionError):
        return (
            "Redis refuses the user of OSSA_CACHE__DSN a command or a key: it needs "
            "+@connection +mget +set +del +cluster|slots on ~ossa:*."
        )
    if isinstance(error, RedisTimeout | TimeoutError):
        return "Redis did not answer in time."
    if isinstance(error, ClusterDownError):
        return "The Redis cluster has a part without a master."
    if isinstance(error, MovedError):
        return "This Redis is one of a cluster: set OSSA_CACHE__CLUSTER=true, or redis+cluster:// in OSSA_CACHE__DSN."
    if "closed by server" in str(error) or "reset by peer" in str(error):
        return (
            "Redis closed the connection: does it stop, want rediss:// in OSSA_CACHE__DSN, or a certificate of ours "
            "(OSSA_CACHE__CERTIFICATE_FILE)?"
        )
    if "cluster support disabled" in str(error):
        return "This Redis is no cluster: look at OSSA_CACHE__CLUSTER and OSSA_CACHE__DSN."
    return f"Redis is unavailable ({type(error).__name__})."


def _tls_fault(error: BaseException | None) -> str | None:
    """Returns a sentence about the certificates; None when they are not the cause."""
    for _ in range(8):  # the driver wraps it, not always the same number of times
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"The certificate of Redis is not trusted ({error.verify_message}): "
                "OSSA_CACHE__CA_FILE names who is, OSSA_CACHE__DSN the host it is for."
            )
        if isinstance(error, ssl.SSLError):
            return (
                f"Redis and we do not agree on TLS ({error.reason or 'no reason given'}): look at rediss:// in "
                "OSSA_CACHE__DSN, and at OSSA_CACHE__CERTIFICATE_FILE if it asks for a certificate of ours."
            )
        if error is None:
            return None
        error = error.__cause__ or error.__context__
    return None
