"""Why no connection came about, and which setting mends it.

libpq tells it in English words alone; a server that speaks another language gets the plain sentence.
"""

from __future__ import annotations

import re

from ossa.contracts.errors import StoreUnavailable
from ossa.stores.postgres.failure import masked, reason, translate

_RETRY_AFTER_S = 1.0

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
    """What a caller meets. Of several members, the refusal that says most counts.

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
        found = re.search(f"[^\n]*{pattern}[^\n]*", said, re.IGNORECASE)
        if found:
            cure = _NOBODY_LEADS if cure is _READ_ONLY and "," in name else cure
            told = f"{_told(found[0])}; {cure.format(dsn=setting)}"
            return StoreUnavailable(begin + told, retry_after_s=_RETRY_AFTER_S)
    return StoreUnavailable(begin + _told(reason(error)), retry_after_s=_RETRY_AFTER_S)


def _told(line: str) -> str:
    """What the server said, without the driver's words around it."""
    words = re.split(r"(?:FATAL|ERROR): +", line)[-1].strip()
    return re.sub(r"^- host: .*?: (?=\w)", "", words)
