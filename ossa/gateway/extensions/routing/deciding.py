"""A decision that nobody acts on: for `--explain`, and for other programs that ask where a request would go."""

from __future__ import annotations

from ossa.contracts.errors import OssaError
from ossa.contracts.routing import Decided, Route
from ossa.contracts.task import ErrorInfo, TaskRequest
from ossa.gateway.scheduler import AgentScheduler
from ossa.routing.features import RoutingRequest


def would_go(scheduler: AgentScheduler, request: TaskRequest, *, tenant: str) -> Route:
    """Where the request would go now. Raises what `AgentScheduler.reserve` raises."""
    return scheduler.decide(RoutingRequest.of_request(request, tenant)).record()


def decided(scheduler: AgentScheduler, request: TaskRequest, *, tenant: str) -> Decided:
    """The same, with the error as data."""
    try:
        return Decided(route=would_go(scheduler, request, tenant=tenant))
    except OssaError as error:
        info = ErrorInfo(code=error.code, message=error.message, param=error.param, retry_after_s=error.retry_after_s)
        return Decided(error=info)
