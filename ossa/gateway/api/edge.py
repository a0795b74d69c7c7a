"""The outermost layer of every request: its id, its count, and the last catch."""

from __future__ import annotations

import logging
import re
import time

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ossa.gateway.api.failures import unexpected_answer
from ossa.gateway.ids import new_request_id
from ossa.gateway.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


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
        given = _given_id(scope)
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
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            logger.exception("request_failed", extra={"request_id": request_id, "path": scope["path"]})
            if status:
                raise  # too late for another answer: the connection has to break
            await unexpected_answer(Request(scope))(scope, receive, send_with_id)
        finally:
            self._metrics.inflight.dec()
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.requests.labels(method, route, status or 499).inc()
        self._metrics.latency.labels(route).observe(seconds)


def _given_id(scope: Scope) -> str | None:
    """None where there is none that can be used."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return str(value.decode())
    return None
