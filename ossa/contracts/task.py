"""A task: one accepted request, the steps done for it, and its outcome.

Messages are OpenAI chat messages as plain dicts, validated at the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from ossa.contracts.agent_spec import AgentSpec, Tier
from ossa.contracts.errors import OssaError, error_types
from ossa.contracts.origin import Origin
from ossa.contracts.value import EncodedValue, Value

Message = dict[str, Any]

Delta = str | dict[str, Any]
"""A piece of an answer as it comes: a text, or fields of OpenAI's delta (`content` is one of them), and its choice's
`logprobs` beside them."""


def _absent(value: object) -> bool:
    return not value


class TaskStatus(StrEnum):
    """queued -> running -> one of the three ends. A lost owner puts running back to queued."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED)


class Usage(Value):
    """Tokens and cost, summed over all model calls.

    `cached_tokens` are those of the prompt tokens that the provider read from its cache; `saved_tokens` were not sent,
    because a shorter form of a content was. `reasoning_tokens` and `audio_tokens` are of the completion's,
    `prompt_audio_tokens` of the prompt's; where there are none, their fields are not in the JSON.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    saved_tokens: int = 0
    cost_usd: float = 0.0
    model_calls: int = 0
    reasoning_tokens: int = Field(default=0, exclude_if=_absent)
    audio_tokens: int = Field(default=0, exclude_if=_absent)
    prompt_audio_tokens: int = Field(default=0, exclude_if=_absent)

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            saved_tokens=self.saved_tokens + other.saved_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
            model_calls=self.model_calls + other.model_calls,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            audio_tokens=self.audio_tokens + other.audio_tokens,
            prompt_audio_tokens=self.prompt_audio_tokens + other.prompt_audio_tokens,
        )

    def without_details(self) -> Usage:
        """Returns the usage without the fields that peers of earlier versions refuse."""
        if not (self.reasoning_tokens or self.audio_tokens or self.prompt_audio_tokens):
            return self
        return self.model_copy(update={"reasoning_tokens": 0, "audio_tokens": 0, "prompt_audio_tokens": 0})


class ErrorInfo(Value):
    """An `OssaError` as data: `code` finds the class again (`errors.error_types`)."""

    code: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None

    def to_error(self) -> OssaError:
        """Returns the exception that this stands for; an `OssaError` for a code that is not known here."""
        return error_types().get(self.code, OssaError)(self.message, self.param, self.retry_after_s)


class Target(Value):
    """Where a request wants to go: `auto`, `pool/NAME` or `agent/NAME`.

    An agent's NAME is an agent id (`intelligence-003`) or a manifest's name.
    """

    kind: Literal["auto", "pool", "agent"] = "auto"
    name: str = ""

    def __str__(self) -> str:
        return self.kind if self.kind == "auto" else f"{self.kind}/{self.name}"


class TaskRequest(EncodedValue):
    """What was asked, in full: enough to do the task again in another process.

    `parameters` holds the OpenAI body's other fields that go to the model
    (temperature, max_tokens, max_completion_tokens, top_p, stop, seed,
    response_format, tools, tool_choice, ...).
    """

    target: Target = Target()
    messages: list[Message]
    parameters: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    timeout_s: float | None = Field(default=None, gt=0)
    asynchronous: bool = Field(default=False, description="nobody waits on the line")
    vortex: bool | None = Field(default=None, description="shorten contents; None: as the manifest and settings say")
    cache: Literal["off", "refresh"] | None = Field(
        default=None, description="off: no earlier answer, and none is kept; refresh: none, and this one is kept"
    )
    origin: Origin | None = Field(
        default=None, exclude_if=_absent, description="who asked, and in which request; None: stored before it was kept"
    )


class NewTask(Value):
    """A task as the gateway hands it to the journal. `body_sha256` guards the idempotency key."""

    id: str
    tenant: str
    request: TaskRequest
    idempotency_key: str | None = None
    body_sha256: str = ""


StepKind = Literal["route", "context", "model", "tool_call", "tool_result", "takeover"]


class Step(EncodedValue):
    """One delta in a task's life. `seq` counts from 0 without holes; with `task_id` it is the event id.

    payload by kind:
      route:       `ossa.contracts.routing.Route`: which agent and tier, and why; of a turn that is taken over, one each
      context:     {"shown": {key: {"text": str, "tokens_before": int, "tokens_after": int, "handle": str}},
                   "offered": bool}; how contents go to the model from here on. {"role": str, "values": str}; the
                   manifest's system prompt with its placeholders resolved, and what ends the system message
      model:       {"message": assistant message, "finish_reason": str, "model": str}; with "rejected": str it failed
                   that check, and a dearer tier was asked in its place; with "reservation": str it was paid from that;
                   with "logprobs": dict those of its choice; with "endpoint": str the mark of the one that said it,
                   where the message has fields that go back to that endpoint alone
      tool_call:   {"call_id": str, "name": str, "arguments": str, "idempotency_key": str}; written *before* the effect
      tool_result: {"call_id": str, "name": str, "content": str, "is_error": bool}
      takeover:    {"from_agent": str, "reason": str}
    """

    seq: int = Field(ge=0)
    kind: StepKind
    agent_id: str
    payload: dict[str, Any]
    usage: Usage = Usage()
    at: datetime
    request_id: str = Field(default="", exclude_if=_absent)
    traceparent: str = Field(default="", exclude_if=_absent)

    def without_details(self) -> Step:
        """Returns the step as peers of earlier versions take it."""
        usage = self.usage.without_details()
        return self if usage is self.usage else self.model_copy(update={"usage": usage})

    def json_without_message(self) -> bytes:
        return self.encoded(exclude={"payload": {"message"}})


class Earlier(Value):
    """An answer that was given before: to the same question, or to one that asks the same.

    `similarity`: cosine of both questions; `age_s`: seconds since it was given.
    """

    kind: Literal["exact", "semantic"]
    similarity: float
    age_s: float


class Outcome(Value):
    """How a task ended. `message` is the final assistant message of a succeeded one."""

    status: TaskStatus
    message: Message | None = None
    finish_reason: str | None = None
    error: ErrorInfo | None = None
    usage: Usage = Usage()
    agent_id: str | None = None
    pool: str | None = None
    model: str | None = None
    tier: str | None = None
    failed_tiers: tuple[Tier, ...] = Field(default=(), description="whose endpoints failed on the way to an answer")
    earlier: Earlier | None = None
    manifest: str | None = Field(default=None, description="the name of the agent's manifest")
    over_soft: dict[str, float] = Field(
        default_factory=dict, description="budgets above their soft limit: label -> share of the hard limit"
    )
    logprobs: dict[str, Any] | None = Field(
        default=None, exclude_if=_absent, description="of the message, where they were asked for"
    )


def ending_bodies(steps: Sequence[Step], outcome: Outcome) -> list[bytes]:
    """The JSON of the steps that end a task, as it is sent and stored: an answer is the outcome's, not its step's."""
    bodies = [step.json_bytes() for step in steps[:-1]]
    if steps:
        last = steps[-1]
        twice = last.kind == "model" and outcome.message is not None and last.payload.get("message") == outcome.message
        bodies.append(last.json_without_message() if twice else last.json_bytes())
    return bodies


def lacks_answer(last: Mapping[str, Any]) -> bool:
    """Whether a step (as JSON) is one whose message is in the task's outcome alone."""
    return last["kind"] == "model" and "message" not in last["payload"]


class Task(Value):
    """A task as the journal has it."""

    id: str
    tenant: str
    status: TaskStatus
    request: TaskRequest
    owner: str | None = None
    fence: int = 0
    attempts: int = 0
    cancel_requested: bool = False
    idempotency_key: str | None = None
    outcome: Outcome | None = None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None

    @property
    def origin(self) -> Origin:
        """The origin of its request; of an older row it is the gateway's own act."""
        return self.request.origin or Origin(actor="system/gateway", tenant=self.tenant)


class UsageToday(Value):
    """What a subject (tenant, manifest name) has used since midnight UTC."""

    tokens: int = 0
    cost_usd: float = 0.0


class Turn(Value):
    """What a dispatcher gives an agent: the request, the steps already done, and what may be spent.

    The agent continues after `steps`: an assistant message with unanswered
    tool calls means those calls are run (again, under the same idempotency key).
    """

    task_id: str
    tenant: str
    request: TaskRequest
    steps: tuple[Step, ...] = ()
    fence: int = 1
    stream: bool = False
    used_today: UsageToday = UsageToday()
    budgeted: bool = Field(default=False, description="money is reserved with the owner before each model call")
    tier: Tier | None = Field(default=None, description="to ask; None: the manifest's")
    cascade: tuple[Tier, ...] = Field(default=(), description="asked one after the other until an answer holds")

    def json_bytes(self) -> bytes:
        """The request and the steps go in as they were encoded for the journal."""
        rest = self.encoded(exclude={"request", "steps"})
        steps = b",".join(step.json_bytes() for step in self.steps)
        return b'%b,"request":%b,"steps":[%b]}' % (rest[:-1], self.request.json_bytes(), steps)


class Assignment(Value):
    """What makes a standby agent an agent."""

    agent_id: str
    pool: str
    tenant: str | None = Field(default=None, description="None: shared by all tenants")
    spec: AgentSpec
