"""The edge that every request passes, and HTTP responses: values, event streams, errors.

Errors are in OpenAI's form under `/v1` and RFC 9457 problem details elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, ClassVar, TypeVar

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ossa.contracts.errors import InvalidRequest, OssaError, error_types
from ossa.contracts.origin import Origin, acting
from ossa.contracts.task import ErrorInfo
from ossa.gateway.metrics import METHODS, GatewayMetrics
from ossa.resilience.server_sent import encode_event

TASK_ID_PATTERN = r"^task_[0-9a-f]{32}$"
_TASK_ID = re.compile(TASK_ID_PATTERN)


def new_task_id() -> str:
    """`task_` and 32 hex digits: 48 bits of Unix milliseconds, then random (the layout of a version 7 UUID)."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return f"task_{value:032x}"


def is_task_id(text: str) -> bool:
    return _TASK_ID.match(text) is not None


def new_request_id() -> str:
    return f"req_{secrets.token_hex(12)}"


_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 1


def next_traceparent(given: bytes | None) -> str:
    """Returns W3C's `traceparent` of a new span: in the given trace, or in a new one where `given` is not valid."""
    trace = _TRACEPARENT.fullmatch(given) if given is not None else None
    if trace is None or not _followed(*trace.groups()):
        return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    # Flags that version 00 does not define are not passed on.
    return f"00-{trace[2].decode()}-{secrets.token_hex(8)}-{int(trace[4], 16) & _SAMPLED:02x}"


def _followed(version: bytes, trace_id: bytes, parent_id: bytes, flags: bytes, rest: bytes | None) -> bool:
    """Whether the trace may be followed. Only a version after 00 may have further fields."""
    if version == b"ff" or (version == b"00" and rest is not None):
        return False
    return trace_id.strip(b"0") != b"" and parent_id.strip(b"0") != b""


def json_response(
    value: BaseModel | Mapping[str, Any] | list[Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """Returns a value as JSON."""
    content = value.model_dump_json().encode() if isinstance(value, BaseModel) else orjson.dumps(value)
    return Response(content, status_code=status, headers=dict(headers or {}), media_type=media_type)


class EventStream(Response):
    """Server-sent events, ended at once when the client hangs up: the generator is then closed.

    Args:
        on_unread: called when the client went before the first event; the generator then never ran and cannot clean up.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        headers: Mapping[str, str] | None = None,
        *,
        on_unread: Callable[[], None] | None = None,
    ) -> None:
        defaults = {"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})}
        super().__init__(None, status_code=200, headers=defaults, media_type="text/event-stream")
        del self.headers["content-length"]
        self._events = events
        self._on_unread = on_unread
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(send), name="event-stream")
        gone = asyncio.create_task(hung_up(receive), name="event-stream-client")
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not sending.done():
                sending.cancel()
                await asyncio.wait((sending,))
            if not self._begun and self._on_unread is not None:
                self._on_unread()
        if not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._events) as events:
            self._begun = True
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def hung_up(receive: Receive) -> None:
    """Returns when the client has gone. To be awaited after the body was read."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return


def event(data: Mapping[str, Any], *, name: str | None = None, id: int | None = None) -> bytes:
    """Encodes one server-sent event."""
    return encode_event(orjson.dumps(data, default=str), type=name or "", id="" if id is None else str(id))


PROBLEM_MEDIA_TYPE = "application/problem+json"
NOT_TO_BE_RETRIED = frozenset(
    {
        "idempotency_conflict",
        "limit_exceeded",
        "budget_exceeded",
        "timed_out",
        "model_failed",
        "tool_failed",
        "cancelled",
    }
)
"""Codes whose status OpenAI's clients would retry by themselves, for nothing or for double the money."""

_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
}
M = TypeVar("M", bound=BaseModel)

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}
_HTTP_MESSAGES = {
    404: "There is nothing at this address. The API is described at /docs.",
    405: "This address does not take this method.",
}


class MalformedBody(InvalidRequest):
    """The body is not JSON at all."""

    status: ClassVar[int] = 400
    code, title = "malformed_body", "Malformed body"


class UnsupportedEncoding(InvalidRequest):
    """The body's `Content-Encoding` is none that is read here."""

    status: ClassVar[int] = 415
    code, title = "unsupported_encoding", "Unsupported content encoding"


def checked(model: type[M], body: dict[str, Any]) -> M:
    """Returns the body as a value. Raises `InvalidRequest` naming the first field that is wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid_fields(error) from None


class FieldFault(BaseModel):
    """One field that is wrong."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:ossa:error:not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(ge=400, le=599, examples=[404])
    detail: str = Field(examples=["There is no task task_0."])
    code: str = Field(examples=["not_found"])
    request_id: str
    param: str | None = None
    errors: list[FieldFault] | None = None
    details: dict[str, Any] | None = Field(None, description="facts for machines, such as a manifest's line and path")


class OpenAIErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(BaseModel):
    """An error as OpenAI's API gives it."""

    error: OpenAIErrorBody


def request_id_of(request: Request) -> str:
    return str(request.scope.get("ossa_request_id", ""))


def failure_response(request: Request, error: OssaError, headers: Mapping[str, str] | None = None) -> Response:
    """Returns the response to a failed request, in the form that its path promises."""
    return _answer(
        request,
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.message,
        param=error.param,
        headers={**_error_headers(error), **(headers or {})},
        details=error.details,
    )


def error_from(info: ErrorInfo | None) -> OssaError:
    """Returns the exception that an outcome's error stands for."""
    if info is None:
        return OssaError("The task failed without a reason.")
    cls = error_types().get(info.code, OssaError)
    return cls(info.message, info.param, info.retry_after_s)


def invalid_fields(error: ValidationError | RequestValidationError, *, skip: int = 0) -> InvalidRequest:
    """Returns pydantic's errors as one that names the first field and lists all."""
    faults = [
        {"field": ".".join(str(part) for part in fault["loc"][skip:]) or "body", "message": str(fault["msg"])}
        for fault in error.errors()[:20]
    ]
    first = faults[0]
    return InvalidRequest(f"{first['field']}: {first['message']}.", param=first["field"], details={"errors": faults})


def install(app: FastAPI) -> None:
    """One handler for each way a request can fail; what is left over is the edge's."""
    app.add_exception_handler(OssaError, _ossa_error)
    app.add_exception_handler(ValidationError, _validation_error)
    app.add_exception_handler(RequestValidationError, _request_validation_error)
    app.add_exception_handler(HTTPException, _http_exception)


async def _ossa_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OssaError)
    return failure_response(request, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)
    return failure_response(request, invalid_fields(error))


async def _request_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return failure_response(request, invalid_fields(error, skip=1))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if status == 405:
        headers["allow"] = ", ".join(sorted(_methods_here(request)))
    return _answer(
        request,
        status=status,
        code=_HTTP_CODES.get(status, "http_error"),
        title=str(error.detail),
        detail=_HTTP_MESSAGES.get(status, str(error.detail)),
        param=None,
        headers=headers,
    )


def _methods_here(request: Request) -> set[str]:
    """All methods of this address; the framework's own answer knows those of one route only."""
    routes: list[APIRoute] = request.app.state.api_routes
    path = request.scope["path"]
    methods = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
    return methods | {"HEAD"} if "GET" in methods else methods


def unexpected_response(request: Request) -> Response:
    """Returns the response to an unexpected exception. It does not tell the cause, which is logged."""
    return failure_response(request, OssaError("Something went wrong here. The request id leads to the cause."))


def _answer(
    request: Request,
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    param: str | None,
    headers: Mapping[str, str],
    details: Mapping[str, Any] | None = None,
) -> Response:
    request_id = request_id_of(request)
    if request.url.path.startswith("/v1/"):
        # OpenAI answers 400 where we say 422, and its clients know a wrong model by its code.
        status = 400 if status == 422 else status
        code = "model_not_found" if code == "not_found" and param == "model" else code
        body: dict[str, Any] = {
            "error": {"message": detail, "type": _OPENAI_TYPES.get(status, "api_error"), "param": param, "code": code}
        }
        return json_response(body, status=status, headers=headers)
    body = {
        "type": f"urn:ossa:error:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if param is not None:
        body["param"] = param
    if details:
        body |= {"errors": details["errors"]} if "errors" in details else {"details": details}
    return json_response(body, status=status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def _error_headers(error: OssaError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    retry_after_s = error.retry_after_s
    if retry_after_s is None and error.status in (429, 503):
        retry_after_s = 1.0
    if retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    if error.code in NOT_TO_BE_RETRIED:
        headers["x-should-retry"] = "false"
    return headers


logger = logging.getLogger(__name__)

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
"""Every answer has them: none is to be guessed at, framed, or to give its address away."""


class Edge:
    """Pure ASGI: a layer on Starlette's request-and-response base would cost every request a task.

    A HEAD request is answered as its GET would be, without the body.

    Args:
        echoed: what stands in front of us answers with the `x-request-id` of the request itself:
            the id is then added here only when it is another one than that.
    """

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics, *, echoed: bool = False) -> None:
        self._app = app
        self._metrics = metrics
        self._echoed = echoed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given, traceparent = _given_ids(scope)
        request_id = given or new_request_id()
        answered = self._echoed and given is not None
        scope["ossa_request_id"] = request_id
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].extend(SECURITY_HEADERS)
                if not answered:
                    MutableHeaders(raw=message["headers"])["x-request-id"] = request_id
            await send(message)

        if scope["method"] == "HEAD":
            scope, receive, send = _as_get(scope, receive, send)
        began = time.perf_counter()
        self._metrics.inflight.inc()
        with acting(Origin(request_id=request_id, traceparent=next_traceparent(traceparent))):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                logger.exception("request_failed", extra={"path": scope["path"]})
                if status:
                    raise  # too late for another answer: the connection has to break
                await unexpected_response(Request(scope))(scope, receive, send_with_id)
            finally:
                self._metrics.inflight.dec()
                self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.requests.labels(method, route, status or 499).inc()
        self._metrics.latency.labels(route).observe(seconds)


def _as_get(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """A HEAD request as a GET whose body is not sent. What streams sees its client hang up once it began."""
    began = asyncio.Event()
    asked = False

    async def receive_until_begun() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await began.wait()
        return {"type": "http.disconnect"}

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            began.set()

    return {**scope, "method": "GET"}, receive_until_begun, send_head


def _given_ids(scope: Scope) -> tuple[str | None, bytes | None]:
    """The request's id and `traceparent`; None for an id that cannot be used, and for a trace that is given twice."""
    request_id: str | None = None
    traces: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"x-request-id" and request_id is None and _SANE_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"traceparent":
            traces.append(value)
    return request_id, traces[0] if len(traces) == 1 else None


Endpoint = Callable[[Request], Awaitable[Response]]


class FastLane:
    """Calls some endpoints directly. They take a request alone and fail with `OssaError` alone.

    Their routes stay with the router as well: it documents them, and answers other methods.

    Args:
        lanes: (method, path) -> the route and its endpoint.
    """

    def __init__(self, app: ASGIApp, lanes: Mapping[tuple[str, str], tuple[APIRoute, Endpoint]]) -> None:
        self._app = app
        self._lanes = lanes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lane = self._lanes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if lane is None:
            await self._app(scope, receive, send)
            return
        scope["route"], endpoint = lane
        request = Request(scope, receive, send)
        try:
            answer = await endpoint(request)
        except OssaError as error:
            answer = failure_response(request, error)
        await answer(scope, receive, send)
