"""The outermost layers of every request: its ids, its count, the last catch; and the fast lane past the router."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ossa.contracts.errors import OssaError
from ossa.contracts.origin import Origin, acting
from ossa.gateway.api.responses import failure_response, unexpected_response
from ossa.gateway.ids import new_request_id, next_traceparent
from ossa.gateway.metrics import METHODS, GatewayMetrics

logger = logging.getLogger(__name__)

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class Edge:
    """Pure ASGI: a layer on Starlette's request-and-response base would cost every request a task.

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
                if not answered:
                    MutableHeaders(raw=message["headers"])["x-request-id"] = request_id
            await send(message)

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
