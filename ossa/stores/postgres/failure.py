"""Driver errors become ours, here alone."""

from __future__ import annotations

import re
from enum import Enum

import psycopg

from ossa.contracts.errors import InvalidRequest, OssaError, StoreUnavailable

DRIVER_ERRORS = (psycopg.Error, OSError)
"""`TimeoutError` is an `OSError`."""

_RETRY_AFTER_S = 1.0


class Remedy(Enum):
    RECONNECT = "the connection is lost, or its server may not be written to"
    REPEAT = "nothing was written; the same statement may succeed now"
    SPLIT = "a value of one writer cannot be stored"
    NONE = "a mistake in the program or the schema"


def remedy(error: BaseException) -> Remedy:
    """What a writer does about a failed batch."""
    state = getattr(error, "sqlstate", None) or ""
    if state[:2] == "40" or state == "57014":  # deadlock, serialization; statement timeout
        return Remedy.REPEAT
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):  # a primary that was demoted
        return Remedy.RECONNECT
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | OSError | StoreUnavailable):
        return Remedy.RECONNECT
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError | psycopg.NotSupportedError | ValueError):
        return Remedy.SPLIT
    return Remedy.NONE


def translate(error: BaseException) -> OssaError:
    """The `OssaError` a caller meets. Its message holds neither parameters nor credentials."""
    if isinstance(error, OssaError):
        return error
    found = remedy(error)
    if found in (Remedy.RECONNECT, Remedy.REPEAT):
        if isinstance(error, TimeoutError):
            return StoreUnavailable("PostgreSQL did not answer in time.", retry_after_s=_RETRY_AFTER_S)
        return StoreUnavailable(f"PostgreSQL is unavailable: {reason(error)}", retry_after_s=_RETRY_AFTER_S)
    if found is Remedy.SPLIT:
        return InvalidRequest(f"PostgreSQL cannot keep this value: {reason(error)}")
    return OssaError(f"PostgreSQL refused a statement of ours: {reason(error)}")


def reason(error: BaseException) -> str:
    """The first line of what the driver said, without any password."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    first = re.sub(r"(?i)(password\s*=\s*)('[^']*'|\S+)", r"\1***", first)
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", first)
