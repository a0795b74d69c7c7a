"""What goes over the wire, as the OpenAPI document describes it. The hot path builds the same shapes by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ossa.contracts.access import ApiKey, Scope
from ossa.contracts.compression import Kind, LeftOut
from ossa.contracts.fleet import Operation, PoolInfo
from ossa.contracts.routing import Decided, Route
from ossa.contracts.task import Outcome, Step, TaskStatus
from ossa.gateway.api.responses import TASK_ID_PATTERN
from ossa.gateway.hooks import Check


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


TargetName = Annotated[
    str,
    Field(
        description="`auto`, `pool/NAME` or `agent/NAME`",
        examples=["auto", "pool/intelligence"],
        min_length=1,
    ),
]


class ChatMessage(Open):
    """An OpenAI chat message; further fields pass through."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class ToolFunction(Open):
    name: str = Field(min_length=1, max_length=256)
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="a JSON schema of an object")


class ChatTool(Open):
    """A tool the caller runs itself."""

    type: Literal["function"]
    function: ToolFunction


class StreamOptions(Open):
    include_usage: bool | None = None


class ChatRequest(Open):
    """OpenAI's chat completion request. Other fields go to the model, but for some that are refused by name."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {"model": "auto", "messages": [{"role": "user", "content": "Summarise our incident report."}]}
        },
    )

    model: TargetName
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    tools: list[ChatTool] | None = None
    metadata: dict[str, Any] | None = None
    timeout_s: float | None = Field(None, gt=0, le=86_400, description="wall time for the whole task")


class PromptTokensDetails(BaseModel):
    cached_tokens: int
    audio_tokens: int


class CompletionTokensDetails(BaseModel):
    reasoning_tokens: int
    audio_tokens: int


class ChatUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
    saved_tokens: int = Field(description="prompt tokens that were not sent: contents went in a shorter form")
    cost_usd: float


class ChatChoice(BaseModel):
    index: int
    message: ChatMessage
    logprobs: dict[str, Any] | None = None
    finish_reason: str


class ChatCompletion(BaseModel):
    """OpenAI's chat completion, with the cost in its usage."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage


class CompletionRequest(BaseModel):
    """OpenAI's older form of a request. Further fields go on as those of a chat do."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"example": {"model": "auto", "prompt": "Say hello."}})

    model: TargetName
    prompt: str | list[str]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    best_of: Literal[1] | None = None
    echo: bool | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    metadata: dict[str, Any] | None = None
    timeout_s: float | None = Field(None, gt=0, le=86_400, description="wall time for the whole task")


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: None = None
    finish_reason: str


class TextCompletion(BaseModel):
    """OpenAI's older form of an answer."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: ChatUsage


class ModelCard(BaseModel):
    id: str = Field(examples=["pool/intelligence"])
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "ossa"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class TaskBody(Closed):
    """A task: `messages`, or `input` for one user message."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"model": "pool/security", "input": "Review this change."}}
    )

    model: TargetName = "auto"
    messages: list[dict[str, Any]] | None = Field(None, min_length=1, description="OpenAI chat messages")
    input: str | None = Field(None, min_length=1)
    parameters: dict[str, Any] = Field(default_factory=dict, description="for the model, as in OpenAI's API")
    metadata: dict[str, Any] = Field(default_factory=dict, description="kept with the task, given back with it")
    timeout_s: float | None = Field(None, gt=0, le=86_400)


class RouteBody(Closed):
    """A request to be routed: `messages`, or `input` for one user message."""

    model: TargetName = "auto"
    messages: list[dict[str, Any]] | None = Field(None, min_length=1, description="OpenAI chat messages")
    input: str | None = Field(None, min_length=1)
    parameters: dict[str, Any] = Field(default_factory=dict, description="for the model, as in OpenAI's API")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="`ossa.capabilities`: what the agent must be able to do, commas between"
    )


class RouteBatch(RouteBody):
    """One request, or several in `requests`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"input": "Review this change for vulnerabilities."}}
    )

    requests: list[RouteBody] | None = Field(None, min_length=1, max_length=256)


class RouteList(BaseModel):
    data: list[Decided]


class TaskRoutes(BaseModel):
    """The decisions of a task, oldest first."""

    task_id: str = Field(pattern=TASK_ID_PATTERN)
    data: list[Route]


def _absent(text: str) -> bool:
    return not text


class TaskView(BaseModel):
    """A task as its tenant sees it."""

    id: str = Field(pattern=TASK_ID_PATTERN)
    status: TaskStatus
    model: str = Field(description="what was asked for")
    attempts: int
    cancel_requested: bool
    metadata: dict[str, Any]
    outcome: Outcome | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    request_id: str = Field(default="", exclude_if=_absent, description="of the request that handed it in")
    traceparent: str = Field(default="", exclude_if=_absent, description="the gateway's span in that request's trace")


class TaskPage(BaseModel):
    """Newest first. `next` is the `before` of the next page; a page of long tasks ends before `limit`."""

    data: list[TaskView]
    next: str | None


class TaskEvent(Step):
    """One journaled step; its event id is `seq`."""


class AgentView(BaseModel):
    """One agent. `state` is `starting` for one that was asked for and is not up yet."""

    agent_id: str
    pool: str
    own: bool = Field(description="this tenant's own, not shared")
    manifest: str
    version: str
    capabilities: list[str] = []
    description: str = ""
    tier: str
    state: Literal["starting", "ready", "draining"]
    node_id: str = ""
    slots: int
    started_at: datetime | None = None


class AgentPage(BaseModel):
    """Sorted by id. `next` is the `after` of the next page."""

    data: list[AgentView]
    next: str | None


Manifest = dict[str, Any] | Annotated[str, Field(min_length=1)]


EXAMPLE_MANIFEST: dict[str, Any] = {
    "apiVersion": "ossa/v0.5.0",
    "kind": "Agent",
    "metadata": {"name": "reviewer", "version": "1.0.0", "description": "Reviews changes."},
    "spec": {"role": "You review changes to code."},
}


class AgentBody(Closed):
    """A tenant's own agent."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"manifest": EXAMPLE_MANIFEST}})

    manifest: Manifest = Field(description="an OSSA manifest: a JSON object, or YAML or JSON text")
    pool: str | None = Field(None, min_length=1, max_length=63, description="default: what the manifest asks for")


class ManifestBody(Closed):
    """A manifest for a pool."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"manifest": EXAMPLE_MANIFEST}})

    manifest: Manifest = Field(description="an OSSA manifest: a JSON object, or YAML or JSON text")


class PoolList(BaseModel):
    data: list[PoolInfo]
    standby: int


class DeployPhaseBody(Open):
    """The mission's first call."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"example": {"phase": "phase4-enterprise-analytics", "target_agents": 200}}
    )

    phase: str = Field(min_length=1, max_length=128)
    target_agents: int = Field(ge=1, le=10_000)


class SpawnPoolBody(Open):
    """The mission's second call."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"example": {"pool_type": "enterprise-analytics", "agent_count": 50}}
    )

    pool_type: str = Field(min_length=1, max_length=63)
    agent_count: int = Field(ge=0, le=10_000, description="the pool's size afterwards")


class ScaleToPhase4Body(Open):
    """The mission's third call."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"example": {"target": "200-agent-enterprise", "kubernetes_nodes": 12}}
    )

    target: str = Field(min_length=1, max_length=128)
    kubernetes_nodes: int = Field(ge=1, le=10_000)


class ScaleBody(Closed):
    """A pool's size."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"agents": 50}})

    agents: int = Field(ge=0, le=10_000, description="the pool's size afterwards")


class OperationList(BaseModel):
    data: list[Operation]


class CompressBody(Closed):
    """A context to compress, by `reduction` (0.85 unless said) or to `budget_tokens`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"content": "a long log ...", "question": "why did it fail?", "reduction": 0.85}},
    )

    content: str = Field(max_length=4_000_000)
    question: str = Field("", max_length=100_000, description="what the content is wanted for")
    reduction: float | None = Field(None, ge=0, lt=1, description="share of the tokens to leave out")
    budget_tokens: int | None = Field(None, ge=1, le=10_000_000, description="instead of `reduction`")
    kind: Kind | None = Field(None, description="of the whole content; else it is found out")
    floor: bool = Field(True, description="more room where too much would be lost")
    model: str = Field("", max_length=256, description="whose vocabulary tokens are counted in")
    seen: str = Field("", max_length=4_000_000, description="what the reader has before it already")


class CompressedView(BaseModel):
    """What became of a content; `ossa.contracts.compression.Compressed` says what each field means.

    `reduction`: the share of the tokens that is gone. `milliseconds`: in the compression service and back.
    """

    text: str
    tokens_before: int
    tokens_after: int
    reduction: float
    fidelity: float
    handles: tuple[str, ...]
    dropped: tuple[LeftOut, ...]
    kinds: dict[str, float]
    widened: bool
    milliseconds: float


class DecompressBody(Closed):
    """A handle, or a compressed text whose last line names one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"text": "vx:abcdefghij"}})

    text: str = Field(max_length=4_000_000)


class DecompressedView(BaseModel):
    content: str


class ForgottenView(BaseModel):
    """How many answers were dropped."""

    forgotten: int


class KeyBody(Closed):
    """A new key. `tenant` other than one's own is for the operator's admins."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "notebook", "scopes": ["chat", "tasks"]}}
    )

    name: str = Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")
    scopes: list[Scope] = Field(min_length=1, default=[Scope.CHAT, Scope.TASKS, Scope.AGENTS_READ])
    tenant: str | None = Field(None, min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    expires_at: Annotated[datetime, Field(description="with a time zone")] | None = None


class NewKey(BaseModel):
    """`secret` is shown this once."""

    key: ApiKey
    secret: str


class KeyList(BaseModel):
    data: list[ApiKey]


class Health(BaseModel):
    """`ready`: new work is taken."""

    live: bool
    ready: bool
    checks: dict[str, Check]


class Version(BaseModel):
    name: str
    version: str
    api: str


REQUEST_MODELS: dict[str, type[BaseModel]] = {
    model.__name__: model
    for model in (
        ChatRequest,
        CompletionRequest,
        CompressBody,
        DecompressBody,
        TaskBody,
        AgentBody,
        ManifestBody,
        DeployPhaseBody,
        SpawnPoolBody,
        ScaleToPhase4Body,
        ScaleBody,
        KeyBody,
    )
}
