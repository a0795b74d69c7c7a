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


class AgentDeclared(Act):
    """A tenant's own agent was declared, or changed"""

    TYPE = "ossa.agent.declared.v1"

    agent: Name
    pool: Name
    tenant: Name
    manifest: Name
    version: Name = Field("", description="of the manifest")


class AgentWithdrawn(Act):
    """A tenant's own agent was taken out of the desired fleet"""

    TYPE = "ossa.agent.withdrawn.v1"

    agent: Name


class _OperationFact(Act):
    operation: Name
    kind: Name = Field(description="deploy-phase, spawn-pool, scale-to-phase4, apply or drain")
    pools: tuple[Name, ...] = Field((), description="that it changes")
    agent: Name = Field("", description="that it drains")


class OperationAccepted(_OperationFact):
    """An operation was written down, and will be carried out"""

    TYPE = "ossa.operation.accepted.v1"


class OperationBegun(_OperationFact):
    """The desired fleet is as an operation asks for"""

    TYPE = "ossa.operation.begun.v1"


class OperationSucceeded(_OperationFact):
    """The fleet is as an operation asks for"""

    TYPE = "ossa.operation.succeeded.v1"


class OperationFailed(_OperationFact):
    """An operation failed"""

    TYPE = "ossa.operation.failed.v1"

    code: Name = Field("", description="of the error")


class PoolChanged(Act):
    """A pool's size or manifests were changed"""

    TYPE = "ossa.pool.changed.v1"

    pool: Name
    size: int = Field(description="agents desired")
    manifests: tuple[Name, ...] = Field((), description="NAME@VERSION of those that its agents take in turn")


class StandbyChanged(Act):
    """The number of standbys was changed"""

    TYPE = "ossa.standby.changed.v1"

    count: int


class PhaseChanged(Act):
    """The fleet's phase was changed"""

    TYPE = "ossa.phase.changed.v1"

    phase: Name


class ScaledPool(Value):
    """One pool of a decision"""

    pool: Name
    before: int
    agents: int
    reasons: tuple[Name, ...] = ()


class ScalingDecided(Act):
    """The scaler changed the size of pools"""

    TYPE = "ossa.scaling.decided.v1"

    by: Name = Field(description="rules, forecast or emergency")
    pools: tuple[ScaledPool, ...] = Field(description="those whose size changes")
    standby: int = 0
    at: Name = Field(description="time of the decision; scaling/TIME is the cause of what follows from it")


class _BudgetFact(Act):
    budget: Name = Field(description="its id")
    subject: Name = Field(description="whose spending counts: tenant:, pool:, agent: or task:NAME")
    period: Name = Field(description="day, month or task")
    hard_usd: float = 0.0
    soft_usd: float | None = None


class BudgetSet(_BudgetFact):
    """A budget was set"""

    TYPE = "ossa.budget.set.v1"


class BudgetRemoved(Act):
    """A budget was removed"""

    TYPE = "ossa.budget.removed.v1"

    budget: Name = Field(description="its id")


class BudgetWarned(_BudgetFact):
    """What is spent and reserved passed a budget's soft limit, for the first time in a period"""

    TYPE = "ossa.budget.warned.v1"

    period_key: Name = Field(description="the UTC day or month, or the task")


class BudgetRefused(_BudgetFact):
    """A model call was refused for a budget's hard limit, for the first time in a period"""

    TYPE = "ossa.budget.refused.v1"

    outcome: Literal["succeeded", "failed", "refused"] = "refused"
    period_key: Name = Field(description="the UTC day or month, or the task")


class KeyCreated(Act):
    """An API key was created"""

    TYPE = "ossa.key.created.v1"

    key: Name = Field(description="its id")
    name: Name
    scopes: tuple[Name, ...] = ()
    expires_at: Name = ""


class KeyRevoked(Act):
    """An API key was revoked"""

    TYPE = "ossa.key.revoked.v1"

    key: Name = Field(description="its id")


class PolicyChanged(Act):
    """A tenant's routing policy was changed"""

    TYPE = "ossa.policy.changed.v1"

    tenant: Name = Field(description="`*`: of all that have none of their own")
    settings: tuple[Name, ...] = Field((), description="names of those that differ from the default")


class PolicyRemoved(Act):
    """A tenant's routing policy was removed"""

    TYPE = "ossa.policy.removed.v1"

    tenant: Name


class FeedbackGiven(Act):
    """The answer of a task was rated"""

    TYPE = "ossa.feedback.given.v1"

    task: Name
    rating: float = Field(description="0 useless, 1 what was wanted")
    expected: Name = Field("", description="the manifest or pool that should have answered")


class _ModelFact(Act):
    kind: Name
    version: int


class RouterAdded(_ModelFact):
    """A learned model was added to the registry"""

    TYPE = "ossa.router.added.v1"

    digest: Name


class RouterPromoted(_ModelFact):
    """A learned model went live"""

    TYPE = "ossa.router.promoted.v1"

    predecessor: int | None = Field(None, description="the version that was live before")


class RouterRolledBack(_ModelFact):
    """A learned model was taken out of use"""

    TYPE = "ossa.router.rolledback.v1"

    successor: int | None = Field(None, description="the version that is live again; none: the packaged model")


class ProposalApproved(Act):
    """A proposal of the cost optimiser was approved"""

    TYPE = "ossa.proposal.approved.v1"

    proposal: Name = Field(description="its id")
    kind: Name
    subject: Name = Field(description="the manifest or pool that it is about")
    by: Name = Field(description="the key's id, or `policy`")


class MemoryWritten(Act):
    """A memory was written"""

    TYPE = "ossa.memory.written.v1"

    memory: Name = Field(description="its id")
    kind: Name


class MemoryForgotten(Act):
    """Memories were forgotten: nobody reads them any more, and their copies go"""

    TYPE = "ossa.memory.forgotten.v1"

    erasure: Name
    scope: Literal["ids", "subject", "tenant"]
    items: int
    memories: tuple[Name, ...] = Field((), description="their ids, at most 100")


class MemoryErased(Act):
    """Every place has confirmed that it holds nothing of what was forgotten"""

    TYPE = "ossa.memory.erased.v1"

    erasure: Name


class MemoryGranted(Act):
    """A tenant lets another one read memories"""

    TYPE = "ossa.memory.granted.v1"

    to: Name
    kinds: tuple[Name, ...] = Field((), description="`*`: all")


class MemoryRevoked(Act):
    """A tenant lets another one read its memories no more"""

    TYPE = "ossa.memory.revoked.v1"

    to: Name


class ConsumerMoved(Act):
    """A consumer group was put to another place in the log"""

    TYPE = "ossa.consumer.moved.v1"

    group: Name
    offset: int


class BackupCompleted(Act):
    """A backup was made"""

    TYPE = "ossa.backup.completed.v1"

    backup: Name
    bytes: int = 0
    objects: int = Field(0, description="cold memories in it")


class BackupFailed(Act):
    """A backup could not be made"""

    TYPE = "ossa.backup.failed.v1"

    outcome: Literal["succeeded", "failed", "refused"] = "failed"
    backup: Name = Field("", description="its id; empty: it had none yet")
    code: Name = Field("", description="of the error")


class BackupRestored(Act):
    """This database was restored from a backup"""

    TYPE = "ossa.backup.restored.v1"

    backup: Name
    at: Name = Field("", description="the last commit that came back")
    objects: int = Field(0, description="cold memories that came back")
    lost_objects: int = 0


class BackupRemoved(Act):
    """A backup that nobody needs was removed"""

    TYPE = "ossa.backup.removed.v1"

    backup: Name


class ConfigurationChanged(Act):
    """A part of the system was started with other settings than the last time"""

    TYPE = "ossa.configuration.changed.v1"

    part: Name = Field(description="`fleet`: controller and gateway, which start together")
    settings: tuple[Name, ...] = Field(description="names of those that changed, never values")
    version: Name = Field("", description="of the program")
