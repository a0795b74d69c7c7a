"""Log lines: one a record, as `key=value`, with the request and the trace in which it was written.

time=2026-12-01T03:36:52.123Z level=warning logger=ossa.gateway.task_run event=task_takeover task_id=task_0
agent_id=security-001 request_id=req_0 traceparent=00-...-01 actor=key/k_0
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from ossa.contracts.origin import current_origin

MOST_CHARS = 2000
"""A longer value is cut."""

_ORIGIN = ("request_id", "traceparent", "actor")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_BARE = re.compile(r'[^\s"=\\\x00-\x20\x7f]+')
_SECRET = re.compile(r"secret|passw|token|authorization|api_?key|dsn|cookie|credential", re.IGNORECASE)
_HIDDEN = "***"


class OriginFilter(logging.Filter):
    """Adds `request_id`, `traceparent` and `actor` to records that do not name their own. Empty: not known."""

    def filter(self, record: logging.LogRecord) -> bool:
        origin = current_origin()
        for name in _ORIGIN:
            if not hasattr(record, name):
                setattr(record, name, getattr(origin, name))
        return True


class LineFormatter(logging.Formatter):
    """One line with the event, its fields and the origin; a traceback follows on lines of its own.

    A text under a name that sounds like a secret is not shown.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        extras = {name: value for name, value in record.__dict__.items() if name not in _STANDARD and name[0] != "_"}
        fields |= {name: value for name, value in extras.items() if name not in _ORIGIN}
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = type(record.exc_info[1]).__name__
        fields |= {name: value for name in _ORIGIN if (value := extras.get(name))}
        line = " ".join(f"{name}={_text(name, value)}" for name, value in fields.items())
        return "\n".join([line, *self._below(record)])

    def _below(self, record: logging.LogRecord) -> list[str]:
        below = []
        if record.exc_info and record.exc_info[1] is not None:
            below.append(self.formatException(record.exc_info))
        if record.stack_info:
            below.append(self.formatStack(record.stack_info))
        return below


def _text(name: str, value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if _SECRET.search(name):
        return _HIDDEN
    text = value if isinstance(value, str) else _json(value)
    if len(text) > MOST_CHARS:
        text = f"{text[:MOST_CHARS]}…"
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _json(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
    return str(value)


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """Standard error alone."""


def write_log_lines(level: int = logging.INFO) -> None:
    """Makes this process write its log lines to standard error. May be called again.

    Where somebody has configured logging already (the root logger has a handler), that is kept, and its records get the
    origin.

    Args:
        level: of the loggers `ossa.*`; those of others keep theirs.
    """
    root = logging.getLogger()
    if not root.handlers:
        lines = _StandardError()
        lines.setFormatter(LineFormatter())
        root.addHandler(lines)
        logging.getLogger("ossa").setLevel(level)
    for handler in root.handlers:
        if not any(isinstance(known, OriginFilter) for known in handler.filters):
            handler.addFilter(OriginFilter())
