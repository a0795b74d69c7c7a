"""Errors of reaching the fleet, and how an HTTP answer becomes one of `ossa.contracts.errors`.

OssaError
├── InvalidRequest
│   └── WrongUsage     422  wrong_usage         an address or a key that cannot be used; nothing was sent
├── Unreachable        503  unreachable         no answer came; `details["sent"]` says if the request went out
└── UnexpectedAnswer   502  unexpected_answer   an answer came that is not the fleet's
"""

from __future__ import annotations

from typing import Any

import httpx

from ossa.contracts.errors import InvalidRequest, OssaError, TimedOut, error_types

_BY_STATUS = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "invalid_request",
    409: "conflict",
    413: "payload_too_large",
    415: "invalid_request",
    422: "invalid_request",
    429: "fleet_busy",
    499: "cancelled",
    502: "model_failed",
    503: "not_ready",
    504: "timed_out",
}
_OPENAI_CODES = {
    "invalid_api_key": "unauthenticated",
    "model_not_found": "not_found",
    "rate_limit_exceeded": "fleet_busy",
}


class WrongUsage(InvalidRequest):
    code, title = "wrong_usage", "Wrong usage"


class Unreachable(OssaError):
    status, code, title = 503, "unreachable", "The fleet cannot be reached"


class UnexpectedAnswer(OssaError):
    status, code, title = 502, "unexpected_answer", "The answer is not the fleet's"


def error_of(response: httpx.Response) -> OssaError:
    """Returns the error that an answer with status >= 400 stands for: problem+json, or OpenAI's form.

    The body must have been read.
    """
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return _foreign(response)
    error = document.get("error")
    if isinstance(error, dict):
        return error_of_body(error, response.status_code, retry_after_s=retry_after_s(response))
    if "detail" in document or "title" in document:
        return _of_problem(document, response)
    return _foreign(response)


def error_of_body(body: dict[str, Any], status: int = 500, *, retry_after_s: float | None = None) -> OssaError:
    """Returns the error of an OpenAI error object (`{"message", "type", "param", "code"}`), also one in a stream."""
    code = body.get("code") or body.get("type")
    return _build(code, status, str(body.get("message") or "no message"), body.get("param"), retry_after_s, {})


def error_of_transport(error: httpx.HTTPError, url: str) -> OssaError:
    """Returns the error for a failure below HTTP."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return Unreachable(
            f"No OSSA fleet answers at {url} ({error or type(error).__name__}).", details={"sent": False}
        )
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"{url} gave no answer in time; raise timeout_s or look at the task later.")
    if isinstance(error, httpx.LocalProtocolError):
        # Its text shows the header at fault, which may be the key.
        return WrongUsage("The request breaks a rule of HTTP: perhaps a header holds a character that is not allowed.")
    return Unreachable(f"The connection to {url} broke ({error or type(error).__name__}).", details={"sent": True})


def retry_after_s(response: httpx.Response) -> float | None:
    """Returns the seconds of a `Retry-After` header; None for none and for a date."""
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _of_problem(document: dict[str, Any], response: httpx.Response) -> OssaError:
    known = {"type", "title", "status", "detail", "instance", "code", "param", "retry_after_s", "request_id"}
    details = {key: value for key, value in document.items() if key not in known}
    nested = details.pop("details", None)
    if isinstance(nested, dict):
        details.update(nested)
    code = document.get("code") or str(document.get("type", "")).rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    message = document.get("detail") or document.get("title") or f"HTTP {response.status_code}"
    if not isinstance(message, str):
        details["detail"], message = message, str(document.get("title") or f"HTTP {response.status_code}")
    return _build(code, response.status_code, message, document.get("param"), retry_after_s(response), details)


def _build(
    code: object, status: int, message: str, param: object, wait_s: float | None, details: dict[str, Any]
) -> OssaError:
    types = error_types()
    name = str(code or "").replace("-", "_")
    error_type = types.get(_OPENAI_CODES.get(name, name)) or types.get(_BY_STATUS.get(status, "")) or OssaError
    return error_type(message, param if isinstance(param, str) else None, wait_s, details)


def _foreign(response: httpx.Response) -> OssaError:
    start = " ".join(response.text[:120].split())
    return UnexpectedAnswer(
        f"{response.request.url.copy_with(query=None)} answered {response.status_code} in a form that is not OSSA's: "
        f"{start or 'an empty body'}"
    )
