"""What writes of the stores tell: from what is written, the fact. Pure; every store tells alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ossa.contracts.access import ApiKey
from ossa.contracts.budgets import Approval, Budget
from ossa.contracts.events import SYSTEM_TENANT, Fact
from ossa.contracts.facts import (
    AgentDeclared,
    AgentWithdrawn,
    BudgetRefused,
    BudgetRemoved,
    BudgetSet,
    BudgetWarned,
    ConfigurationChanged,
    ConsumerMoved,
    FeedbackGiven,
    KeyCreated,
    KeyRevoked,
    MemoryErased,
    MemoryForgotten,
    MemoryGranted,
    MemoryRevoked,
    MemoryWritten,
    OperationAccepted,
    OperationBegun,
    OperationFailed,
    OperationSucceeded,
    PhaseChanged,
    PolicyChanged,
    PolicyRemoved,
    PoolChanged,
    ProposalApproved,
    RouterAdded,
    RouterPromoted,
    RouterRolledBack,
    ScaledPool,
    ScalingDecided,
    StandbyChanged,
)
from ossa.contracts.fleet import DesiredAgent, DesiredPool, Operation
from ossa.contracts.memory import Grant, Scope
from ossa.contracts.memory_tiers import Draft, Erasure
from ossa.contracts.routing import Feedback, ModelKind, RoutingPolicy
from ossa.contracts.scaling import ScaleDecision

MOST_IDS = 100
"""Ids of forgotten memories in one fact."""

_OPERATIONS = {
    "pending": OperationAccepted,
    "running": OperationBegun,
    "succeeded": OperationSucceeded,
    "failed": OperationFailed,
}


def of_pool(pool: DesiredPool) -> Fact:
    manifests = tuple(f"{spec.name}@{spec.version}" for spec in pool.manifests)
    return Fact(PoolChanged(pool=pool.name, size=pool.size, manifests=manifests), key=f"pool/{pool.name}")


def of_standby(count: int) -> Fact:
    return Fact(StandbyChanged(count=count), key="pool/standby")


def of_phase(phase: str) -> Fact:
    return Fact(PhaseChanged(phase=phase), key="fleet/phase")


def of_declared(agent: DesiredAgent) -> Fact:
    data = AgentDeclared(
        agent=agent.agent_id,
        pool=agent.pool,
        tenant=agent.tenant,
        manifest=agent.spec.name,
        version=agent.spec.version,
    )
    return Fact(data, key=f"agent/{agent.agent_id}", tenant=agent.tenant)


def of_withdrawn(agent_id: str, tenant: str = "") -> Fact:
    """`tenant` is the agent's; a store that reads it off the row leaves it out."""
    return Fact(AgentWithdrawn(agent=agent_id), key=f"agent/{agent_id}", tenant=tenant)


def of_operation(operation: Operation) -> Fact:
    """Each status is told once, under its own name."""
    progress = operation.progress
    fields: dict[str, object] = {"operation": operation.id, "kind": operation.kind}
    if operation.kind == "drain":
        fields["agent"] = str(operation.request.get("agent_id", ""))
    else:
        fields["pools"] = tuple(progress)
    if operation.error is not None:
        fields |= {"outcome": "failed", "code": operation.error.code, "reason": operation.error.message}
    data = _OPERATIONS[operation.status].model_validate(fields)
    return Fact(data, key=f"operation/{operation.id}", tenant=operation.tenant, name=operation.status)


def of_decision(decision: ScaleDecision) -> Fact | None:
    """None: it changes no pool, or was only tried."""
    changed = tuple(
        ScaledPool(pool=pool.pool, before=pool.before, agents=pool.agents, reasons=tuple(pool.reasons))
        for pool in decision.pools
        if pool.agents != pool.before
    )
    if decision.dry_run or not changed:
        return None
    at = decision.at.isoformat()
    data = ScalingDecided(by=decision.by, pools=changed, standby=decision.standby, at=at)
    return Fact(data, key="scaling/decisions", name=at)


def of_key(key: ApiKey) -> Fact:
    data = KeyCreated(
        key=key.id,
        name=key.name,
        scopes=tuple(scope.value for scope in key.scopes),
        expires_at=key.expires_at.isoformat() if key.expires_at is not None else "",
    )
    return Fact(data, key=f"key/{key.id}", tenant=key.tenant, name="created")


def of_revoked_key(key_id: str, tenant: str = "") -> Fact:
    return Fact(KeyRevoked(key=key_id), key=f"key/{key_id}", tenant=tenant, name="revoked")


def _limited(budget: Budget) -> str:
    """The tenant whose spending a budget limits, else the one who owns it."""
    return budget.name if budget.kind == "tenant" else budget.tenant or budget.owner


def _about_budget(budget: Budget) -> dict[str, object]:
    return {
        "budget": budget.id,
        "subject": budget.subject,
        "period": budget.period,
        "hard_usd": budget.hard_usd,
        "soft_usd": budget.soft_usd,
    }


def of_budget(budget: Budget) -> Fact:
    return Fact(BudgetSet.model_validate(_about_budget(budget)), key=f"budget/{budget.id}", tenant=_limited(budget))


def of_removed_budget(budget_id: str, budget: Budget | None = None) -> Fact:
    tenant = _limited(budget) if budget is not None else ""
    return Fact(BudgetRemoved(budget=budget_id), key=f"budget/{budget_id}", tenant=tenant)


def of_limit(budget: Budget, period_key: str, *, hard: bool) -> Fact:
    """The first time in a period that a call passed the soft limit, or was refused for the hard one."""
    kind = BudgetRefused if hard else BudgetWarned
    data = kind.model_validate({**_about_budget(budget), "period_key": period_key})
    name = f"{period_key}:{'refused' if hard else 'warned'}"
    return Fact(data, key=f"budget/{budget.id}", tenant=_limited(budget), name=name)


def of_policy(tenant: str, policy: RoutingPolicy) -> Fact:
    settings = tuple(sorted(policy.model_dump(exclude_defaults=True)))
    return Fact(PolicyChanged(tenant=tenant, settings=settings), key=f"policy/{tenant}", tenant=_owner(tenant))


def of_removed_policy(tenant: str) -> Fact:
    return Fact(PolicyRemoved(tenant=tenant), key=f"policy/{tenant}", tenant=_owner(tenant))


def _owner(tenant: str) -> str:
    return SYSTEM_TENANT if tenant == "*" else tenant


def of_feedback(feedback: Feedback) -> Fact:
    """It has the key of its task, and comes after the task's end."""
    data = FeedbackGiven(task=feedback.task_id, rating=feedback.rating, expected=feedback.expected)
    return Fact(data, key=feedback.task_id, tenant=feedback.tenant)


def of_added_model(kind: ModelKind, version: int, digest: str) -> Fact:
    return Fact(RouterAdded(kind=kind, version=version, digest=digest), key=f"router/{kind}", name=f"{version}:added")


def of_promotion(kind: ModelKind, version: int, predecessor: int | None, *, name: str = "") -> Fact:
    data = RouterPromoted(kind=kind, version=version, predecessor=predecessor)
    return Fact(data, key=f"router/{kind}", name=name)


def of_roll_back(kind: ModelKind, version: int, successor: int | None, *, name: str = "") -> Fact:
    data = RouterRolledBack(kind=kind, version=version, successor=successor)
    return Fact(data, key=f"router/{kind}", name=name)


def of_approval(approval: Approval) -> Fact:
    data = ProposalApproved(proposal=approval.id, kind=approval.kind, subject=approval.subject, by=approval.by)
    return Fact(data, key=f"proposal/{approval.id}", name="approved")


def of_memory(draft: Draft) -> Fact:
    """The write's own id names it, so that a write that is tried again is the same fact."""
    data = MemoryWritten(memory=draft.id, kind=draft.kind)
    return Fact(data, key=f"memory/{draft.id}", tenant=draft.tenant, name=draft.write_id)


def of_erasure(erasure: Erasure) -> Fact:
    """It has the key of its item where there is one alone."""
    scope: Scope = erasure.scope
    data = MemoryForgotten(
        erasure=erasure.id,
        scope="ids" if scope.ids is not None else "subject" if scope.subject is not None else "tenant",
        items=len(erasure.ids),
        memories=tuple(sorted(erasure.ids)[:MOST_IDS]),
    )
    key = f"memory/{erasure.ids[0]}" if len(erasure.ids) == 1 else "memory/*"
    return Fact(data, key=key, tenant=scope.tenant, name=erasure.id)


def of_erased(erasure_id: str, tenant: str = "") -> Fact:
    return Fact(MemoryErased(erasure=erasure_id), key="memory/*", tenant=tenant, name=f"{erasure_id}:erased")


def of_grant(grant: Grant) -> Fact:
    data = MemoryGranted(to=grant.to, kinds=tuple(sorted(grant.kinds)))
    return Fact(data, key=f"memory/grants/{grant.to}", tenant=grant.tenant)


def of_revoked_grant(tenant: str, to: str) -> Fact:
    return Fact(MemoryRevoked(to=to), key=f"memory/grants/{to}", tenant=tenant)


def of_moved_group(group: str, offset: int) -> Fact:
    return Fact(ConsumerMoved(group=group, offset=offset), key=f"consumer/{group}")


def changed_settings(before: Mapping[str, str] | None, now: Mapping[str, str]) -> list[str]:
    """The names of settings whose digest is another one; none at a first start."""
    if before is None:
        return []
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def of_configuration(part: str, settings: Sequence[str], version: str) -> Fact:
    data = ConfigurationChanged(part=part, settings=tuple(sorted(settings)), version=version)
    return Fact(data, key="configuration")
