"""What can happen: one model a type of fact. Schemas, the catalogue in the docs and filters are made from them.

A model's name says object and verb (`TaskAccepted`), its `TYPE` says the same as a CloudEvents type
(`ossa.task.accepted.v1`). Fields hold names, counts, amounts and reasons, and never a prompt, an answer, an argument or
a secret. A released version may get optional fields; anything else is a new version, a class of its own.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from ossa.contracts.value import Value

MOST_CHARS = 256
"""The most characters of a name: some come from a model or a caller, who may have written a book."""


def _cut(text: Any) -> Any:
    return text[:MOST_CHARS] if isinstance(text, str) else text


Name = Annotated[str, BeforeValidator(_cut), StringConstraints(max_length=MOST_CHARS)]
"""A longer text is cut: a fact does not fail because somebody's name is long."""

FACTS: dict[str, type[FactData]] = {}
"""Every type of fact by its CloudEvents type."""


class FactData(Value):
    """The `data` of an event. The first line of a subclass's docstring is the title of its schema."""

    TYPE: ClassVar[str]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        kind = cls.__dict__.get("TYPE")
        if kind is not None:
            assert kind not in FACTS, kind
            FACTS[kind] = cls


class Act(FactData):
    """Something that somebody did to the fleet: it succeeded, failed, or was refused."""

    outcome: Literal["succeeded", "failed", "refused"] = "succeeded"
    reason: Name = Field("", description="why; empty where the act explains itself")


class FactUsage(Value):
    """What is zero is left out"""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    saved_tokens: int = 0
    cost_usd: float = 0.0
    model_calls: int = 0


class TaskAccepted(FactData):
    """A task was written down, and will be done"""

    TYPE = "ossa.task.accepted.v1"

    task: Name
    target: Name = Field(description="auto, pool/NAME or agent/NAME")
    asynchronous: bool = Field(description="nobody waits on the line")


class TaskStep(FactData):
    """A step of a task was done"""

    TYPE = "ossa.task.step.v1"

    task: Name
    seq: int = Field(description="counts from 0 without holes")
    kind: Name = Field(description="route, context, model, tool_call, tool_result, takeover")
    agent: Name
    usage: FactUsage
    tool: Name | None = Field(None, description="name of the tool, of tool_call and tool_result")
    failed: bool | None = Field(None, description="whether the tool failed, of tool_result")


class TaskFinished(FactData):
    """A task ended"""

    TYPE = "ossa.task.finished.v1"

    task: Name
    status: Literal["succeeded", "failed", "cancelled"]
    usage: FactUsage
    agent: Name | None = None
    pool: Name | None = None
    manifest: Name | None = None
    model: Name | None = None
    tier: Name | None = None
    finish_reason: Name | None = None
    error: Name | None = Field(None, description="code of the error")


class _AgentFact(Act):
    agent: Name = Field(description="its id, which outlives a process")
    pool: Name
    incarnation: Name = Field(description="the process that the fact is about")
    tenant: Name | None = Field(None, description="whose own agent it is")
    manifest: Name = ""
    version: Name = Field("", description="of the manifest")
    node: Name = Field("", description="Ray's id of the node")
    pid: int = 0
    cause: Name = Field("", description="what it was done for: operation/ID or scaling/TIME")


class AgentReady(_AgentFact):
    """An agent is ready"""

    TYPE = "ossa.agent.ready.v1"

    predecessor: Name = Field("", description="the process that was this agent before")


class AgentFailed(_AgentFact):
    """An agent could not be started; told once for each new reason"""

    TYPE = "ossa.agent.failed.v1"


class AgentLost(_AgentFact):
    """An agent's process died unasked"""

    TYPE = "ossa.agent.lost.v1"


class AgentReplaced(_AgentFact):
    """A new process has taken an agent's place"""

    TYPE = "ossa.agent.replaced.v1"

    successor: Name = Field(description="the process that is this agent now")


class AgentRemoved(_AgentFact):
    """An agent has left the fleet"""

    TYPE = "ossa.agent.removed.v1"
