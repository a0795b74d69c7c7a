"""What an endpoint's error means: whose fault it is, and whether another try may succeed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from ossa.contracts.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    ModelFailed,
    ModelRateLimited,
    ModelRejected,
    OssaError,
    QuotaExhausted,
)
from ossa.models.json_reader import mended
from ossa.models.retry import retryable

MOST_CHARS = 500

_OURS = frozenset({401, 402, 403, 404, 405})
"""Refusals the request did not cause: the key, the account, the URL or the model's name in settings."""

_QUOTA = re.compile(
    r"insufficient[_ ](quota|balance|credit|funds)|exceeded[_ ]your[_ ]current[_ ]quota|billing[_ ]|"
    r"exceeded_current_quota|credit balance is too low|payment[_ ]required|out of credits|arrears",
    re.IGNORECASE,
)
_CONTEXT = re.compile(
    r"context[_ ]length|maximum context|context[_ ]window|context size|prompt is too long|input is too long|"
    r"too many (input )?tokens|exceeds? .{0,40}(token limit|max(imum)? .{0,20}tokens|context)|string_above_max_length|"
    r"input token count|reduce the length",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content[_ -]?(filter|policy|management)|responsibleaipolicy|safety (system|policy)|moderation|guardrail|"
    r"data_inspection_failed",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate[_ -]?limit|too many requests|throttl|requests per (minute|second|day)", re.IGNORECASE)
_BUSY = re.compile(
    r"overloaded|try again|temporar|unavailable|timed? ?out|timeout|internal|server_error|capacity|bad gateway|"
    r"upstream|provider returned error",
    re.IGNORECASE,
)
_PERMANENT = re.compile(
    r"invalid_request|invalid_api_key|not_found|unsupported|badrequest|authentication", re.IGNORECASE
)


class Said(NamedTuple):
    """An endpoint's error. `status` is the one in its body, where it names one."""

    message: str
    code: str = ""
    type: str = ""
    param: str | None = None
    status: int | None = None

    @property
    def whole(self) -> str:
        return f"{self.code} {self.type} {self.message}"


def error_in(document: Mapping[str, Any]) -> Said | None:
    """The error that an answer with status 200 holds; None where it holds none."""
    if error := document.get("error"):
        return read_error(document)
    if document.get("object") == "error" or document.get("type") == "error":
        return read_error({"error": {**document, "type": document.get("type") or ""}})
    choices = document.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and (error := choice.get("error")):
            return read_error({"error": error})
    return None


def read_error(document: Any) -> Said:
    """An error body of OpenAI's form or a relative of it."""
    found = document
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict):
        found = found.get("error") or found.get("errors") or found
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return Said(_text(found))
    message = found.get("message") or found.get("msg") or found.get("detail") or found.get("error") or found
    inner = found.get("innererror")
    code = inner.get("code") if isinstance(inner, dict) and inner.get("code") else found.get("code")
    param = found.get("param")
    status = next((number for name in ("status", "status_code", "code") if (number := _status(found.get(name)))), None)
    return Said(
        message=_text(message),
        code="" if code is None or _status(code) else _text(code),
        type=_text(found.get("type") or found.get("status") or "") if not _status(found.get("status")) else "",
        param=param[:100] if isinstance(param, str) else None,
        status=status,
    )


def error_of(said: Said, status: int | None, *, after_s: float | None = None, where: str) -> tuple[OssaError, bool]:
    """The error for the caller, and whether another try may succeed.

    Args:
        status: of the answer; None for an error inside a 200.
        after_s: what the endpoint asked for by `Retry-After`.
        where: begins the sentence: "the model endpoint answered 429".
    """
    facts = {"upstream_status": status, "upstream_code": said.code, "upstream_type": said.type}
    details: dict[str, Any] = {name: value for name, value in facts.items() if value}
    number = status if status is not None else said.status
    message = f"{where}: {said.message}"
    if _QUOTA.search(said.whole) or number == 402:
        return QuotaExhausted(f"{where}: its quota or credit is used up", None, after_s, details), False
    if number in _OURS:
        return ModelFailed(f"{where}; the fleet's operator has to look at its settings", None, None, details), False
    if number is None or number == 400 or 404 < number < 500 or number == 500:
        if _CONTEXT.search(said.whole) and number != 429:
            return ContextLengthExceeded(message, said.param or "messages", None, details), False
        if _FILTER.search(said.whole) and number != 429:
            return ContentFiltered(message, said.param, None, details), False
    if number == 429 or (number is None and _RATE.search(said.whole)):
        return ModelRateLimited(message, None, after_s, details), True
    if number is not None:
        if retryable(number) or number < 400:
            return ModelFailed(message, None, after_s, details), retryable(number)
        if number >= 500:
            return ModelFailed(message, None, None, details), False
        return ModelRejected(message, said.param, None, details), False
    if _PERMANENT.search(f"{said.code} {said.type}") and not _BUSY.search(said.whole):
        return ModelRejected(message, said.param, None, details), False
    return ModelFailed(message, None, after_s, details), True


def _status(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else None


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(mended(value)).decode()
    return str(mended(text))[:MOST_CHARS]
