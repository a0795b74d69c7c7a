"""Driver errors become ours, here alone."""

from __future__ import annotations

import re
from enum import Enum

import psycopg

from ossa.contracts.errors import InvalidRequest, OssaError, StoreUnavailable

DRIVER_ERRORS = (psycopg.Error, OSError)
"""`TimeoutError` is an `OSError`."""

_RETRY_AFTER_S = 1.0
_REPEATED = ("57014", "55P03", "53100")
"""Statement timeout, lock timeout, disk full."""

_TOLD: tuple[tuple[type[psycopg.Error], str], ...] = (
    (
        psycopg.errors.DiskFull,
        "PostgreSQL's disk is full: nothing is written until there is space. Free some or grow its volume; shorter "
        "history is OSSA_DATABASE__HISTORY_DAYS.",
    ),
    (
        psycopg.errors.ReadOnlySqlTransaction,
        "PostgreSQL is a read-only replica, or was demoted to one: name every member in OSSA_DATABASE__DSN, with "
        "target_session_attrs=read-write.",
    ),
    (
        psycopg.errors.TooManyConnections,
        "PostgreSQL takes no more connections: raise its max_connections above OSSA_DATABASE__POOL_TOTAL, or "
        "lower that.",
    ),
    (
        psycopg.errors.LockNotAvailable,
        "PostgreSQL did not get a lock within OSSA_DATABASE__LOCK_TIMEOUT_S: somebody holds it for long.",
    ),
    (
        psycopg.errors.QueryCanceled,
        "PostgreSQL did not answer within OSSA_DATABASE__STATEMENT_TIMEOUT_S.",
    ),
)


class Remedy(Enum):
    RECONNECT = "the connection is lost, or its server may not be written to"
    REPEAT = "nothing was written; the same statement may succeed now"
    SPLIT = "a value of one writer cannot be stored"
    NONE = "a mistake in the program or the schema"


def remedy(error: BaseException) -> Remedy:
    """Returns how a writer reacts to a failed batch."""
    state = getattr(error, "sqlstate", None) or ""
    if state[:2] == "40" or state in _REPEATED:  # "40": deadlock, serialization
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
    for kind, said in _TOLD:
        if isinstance(error, kind):
            return StoreUnavailable(said, retry_after_s=_RETRY_AFTER_S)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return OssaError(
            f"PostgreSQL does not allow this: {reason(error)}. `ossa database roles` grants what the program needs; "
            "`ossa database check` says what is missing."
        )
    cure = remedy(error)
    if cure in (Remedy.RECONNECT, Remedy.REPEAT):
        if isinstance(error, TimeoutError):
            return StoreUnavailable("PostgreSQL did not answer in time.", retry_after_s=_RETRY_AFTER_S)
        return StoreUnavailable(f"PostgreSQL is unavailable: {reason(error)}", retry_after_s=_RETRY_AFTER_S)
    if cure is Remedy.SPLIT:
        return InvalidRequest(f"PostgreSQL cannot keep this value: {reason(error)}")
    return OssaError(f"PostgreSQL refused a statement of ours: {reason(error)}")


def reason(error: BaseException) -> str:
    """The first line of what the driver said, without any password."""
    return masked((str(error).strip() or type(error).__name__).splitlines()[0])


def masked(text: str) -> str:
    text = re.sub(r"(?i)(password\s*=\s*)('[^']*'|\S+)", r"\1***", text)
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)


_READ_ONLY = "it is a read-only replica: name every member in {dsn}, with target_session_attrs=read-write"
_NOBODY_LEADS = "none of them takes writes now; a failover may be under way"

_CURES: tuple[tuple[str, str], ...] = (
    ("password authentication failed", "the password or the user in {dsn} is wrong"),
    ("no password supplied", "it wants a password: set OSSA_DATABASE__PASSWORD, or write it into {dsn}"),
    ('role "[^"]*" does not exist', "the user in {dsn} does not exist there"),
    ('database "[^"]*" does not exist', "create the database, or correct its name in {dsn}"),
    ("no pg_hba.conf entry", "its pg_hba.conf lets this user in from nowhere here, or only with TLS"),
    (
        "(too many clients|remaining connection slots|too many connections)",
        "raise its max_connections above OSSA_DATABASE__POOL_TOTAL, or lower that",
    ),
    (
        "(session is read-only|session is not read-write|hot standby mode|server is in hot standby)",
        _READ_ONLY,
    ),
    ("certificate verify failed", "OSSA_DATABASE__SSL_ROOT_CERT does not name the authority of its certificate"),
    ("root certificate file .* does not exist", "OSSA_DATABASE__SSL_ROOT_CERT names no file"),
    ("server certificate for .* does not match", "its certificate is for another host name than {dsn} has"),
    ("does not support SSL", "it has no TLS, and OSSA_DATABASE__SSL_MODE (or sslmode in {dsn}) asks for it"),
    (
        "(resolve host|translate host name|Name or service not known|nodename nor servname)",
        "there is no such host; correct {dsn}",
    ),
    ("(starting up|recovery mode|shutting down)", "it is starting or stopping"),
    ("Connection refused", "nothing listens there; is it up, and is {dsn} right?"),
)


def refused(error: BaseException, *, name: str, setting: str) -> StoreUnavailable:
    """Returns the error for a refused connection. Of several members, the refusal that says most counts.

    Args:
        name: of the server, for people.
        setting: the variable that holds its DSN.
    """
    begin = f"No connection to PostgreSQL at {name}: "
    if isinstance(error, TimeoutError):
        return StoreUnavailable(f"{begin}it did not answer within OSSA_DATABASE__CONNECT_TIMEOUT_S", retry_after_s=1.0)
    if getattr(error, "sqlstate", None):  # of the session's first statement
        return StoreUnavailable(begin + translate(error).message, retry_after_s=_RETRY_AFTER_S)
    said = masked(str(error))
    for pattern, cure in _CURES:
        match = re.search(f"[^\n]*{pattern}[^\n]*", said, re.IGNORECASE)
        if match:
            cure = _NOBODY_LEADS if cure is _READ_ONLY and "," in name else cure
            told = f"{_told(match[0])}; {cure.format(dsn=setting)}"
            return StoreUnavailable(begin + told, retry_after_s=_RETRY_AFTER_S)
    return StoreUnavailable(begin + _told(reason(error)), retry_after_s=_RETRY_AFTER_S)


def _told(line: str) -> str:
    """Returns the server's message without the driver's words around it."""
    words = re.split(r"(?:FATAL|ERROR): +", line)[-1].strip()
    return re.sub(r"^- host: .*?: (?=\w)", "", words)
