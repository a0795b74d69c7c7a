"""Every error a caller can meet, in one tree.

    OssaError                      500  internal
    ├── InvalidRequest             422  invalid_request     the body or a field is wrong
    │   ├── ManifestError          422  manifest_invalid    an OSSA document cannot be used
    │   └── PayloadTooLarge        413  payload_too_large
    ├── Unauthenticated            401  unauthenticated
    ├── Forbidden                  403  forbidden           the key lacks a scope
    ├── NotFound                   404  not_found           absent, or another tenant's
    ├── Conflict                   409  conflict
    │   └── IdempotencyConflict    409  idempotency_conflict
    ├── LimitExceeded              429  limit_exceeded      a manifest's limit was reached
    │   └── BudgetExceeded         429  budget_exceeded     a budget does not cover the next model call
    ├── FleetBusy                  429  fleet_busy          no free agent, or a full queue
    ├── Cancelled                  499  cancelled
    ├── ToolFailed                 502  tool_failed
    ├── ModelFailed                502  model_failed        the model endpoint failed
    │   ├── ModelRateLimited       429  model_rate_limited       the model endpoint takes no more for now
    │   └── QuotaExhausted         429  insufficient_quota       the fleet's account at the endpoint is used up
    ├── ModelRejected              400  model_rejected      the model endpoint refused the request
    │   ├── ContextLengthExceeded  400  context_length_exceeded  the messages are too long for the model
    │   └── ContentFiltered        400  content_filter           the endpoint's filter refused the content
    ├── AgentLost                  503  agent_lost          the agent's process died; retried inside
    ├── Fenced                     503  fenced              another dispatcher owns the task now
    ├── StoreUnavailable           503  store_unavailable
    │   └── BusUnavailable         503  bus_unavailable     Kafka did not answer in time
    ├── TopicUnfit                 503  topic_unfit         a Kafka topic is missing, or not as the settings say
    ├── NotReady                   503  not_ready           the fleet is starting or stopping
    └── TimedOut                   504  timed_out

Errors pickle whole and carry what an HTTP answer needs.
"""

from __future__ import annotations

from typing import Any, ClassVar


class OssaError(Exception):
    """Root of all errors raised on purpose.

    Args:
        message: a sentence that names the field or thing and says what to do.
        param: the request field at fault, dotted, when there is one.
        retry_after_s: seconds after which the same call may succeed.
        details: JSON-ready facts for machines.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        message: str,
        param: str | None = None,
        retry_after_s: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.details = details or {}

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.message, self.param, self.retry_after_s, self.details))


class InvalidRequest(OssaError):
    status, code, title = 422, "invalid_request", "Invalid request"


class ManifestError(InvalidRequest):
    """`details` may hold `file`, `line`, `path` and `expected`."""

    code, title = "manifest_invalid", "Manifest cannot be used"


class PayloadTooLarge(InvalidRequest):
    status, code, title = 413, "payload_too_large", "Payload too large"


class Unauthenticated(OssaError):
    status, code, title = 401, "unauthenticated", "Authentication required"


class Forbidden(OssaError):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(OssaError):
    status, code, title = 404, "not_found", "Not found"


class Conflict(OssaError):
    status, code, title = 409, "conflict", "Conflict"


class IdempotencyConflict(Conflict):
    code, title = "idempotency_conflict", "Idempotency key reused with another body"


class LimitExceeded(OssaError):
    status, code, title = 429, "limit_exceeded", "Limit exceeded"


class BudgetExceeded(LimitExceeded):
    """`param` names the budget. `retry_after_s`: to its period's end; short where reservations alone are in the way."""

    code, title = "budget_exceeded", "Budget exceeded"


class FleetBusy(OssaError):
    status, code, title = 429, "fleet_busy", "The fleet is full"


class Cancelled(OssaError):
    status, code, title = 499, "cancelled", "Cancelled"


class ToolFailed(OssaError):
    status, code, title = 502, "tool_failed", "A tool failed"


class ModelFailed(OssaError):
    status, code, title = 502, "model_failed", "The model endpoint failed"


class ModelRejected(OssaError):
    status, code, title = 400, "model_rejected", "The model endpoint refused the request"


class ModelRateLimited(ModelFailed):
    status, code, title = 429, "model_rate_limited", "The model endpoint is busy"


class QuotaExhausted(ModelFailed):
    """The operator has to see to it: trying again does not help."""

    status, code, title = 429, "insufficient_quota", "The quota at the model endpoint is used up"


class ContextLengthExceeded(ModelRejected):
    code, title = "context_length_exceeded", "The messages are too long for the model"


class ContentFiltered(ModelRejected):
    code, title = "content_filter", "The content was filtered"


class AgentLost(OssaError):
    status, code, title = 503, "agent_lost", "The agent was lost"


class Fenced(OssaError):
    status, code, title = 503, "fenced", "The task has another owner"


class StoreUnavailable(OssaError):
    status, code, title = 503, "store_unavailable", "A store is unavailable"


class BusUnavailable(StoreUnavailable):
    code, title = "bus_unavailable", "The event bus is unavailable"


class TopicUnfit(OssaError):
    """`param` names the setting; the message has the command that corrects it."""

    status, code, title = 503, "topic_unfit", "An event topic is not as it should be"


class NotReady(OssaError):
    status, code, title = 503, "not_ready", "Not ready"


class TimedOut(OssaError):
    status, code, title = 504, "timed_out", "Timed out"


def error_types() -> dict[str, type[OssaError]]:
    """Returns the class of each code, to turn an `ErrorInfo` back into an exception."""
    classes: list[type[OssaError]] = [OssaError]
    for cls in classes:
        classes.extend(cls.__subclasses__())
    return {cls.code: cls for cls in reversed(classes)}  # a subclass without a code of its own does not count
