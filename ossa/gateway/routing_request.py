"""What routing is asked: a task's target, features and tenant."""

from __future__ import annotations

from dataclasses import dataclass

from ossa.contracts.fleet import POOL_ALIASES, AgentInfo
from ossa.contracts.task import NewTask, Target, Task, TaskRequest
from ossa.routing import RequestFeatures


@dataclass(frozen=True)
class RoutingRequest:
    """The part of a task that decides which agent gets it."""

    target: Target
    features: RequestFeatures
    tenant: str

    @classmethod
    def of(cls, task: NewTask | Task) -> RoutingRequest:
        return cls.of_request(task.request, task.tenant)

    @classmethod
    def of_request(cls, request: TaskRequest, tenant: str) -> RoutingRequest:
        return cls(request.target, RequestFeatures.of_request(request), tenant)

    def fits(self, agent: AgentInfo) -> bool:
        """Whether a slot at this agent could serve the request."""
        if agent.tenant is not None and agent.tenant != self.tenant:
            return False
        name = self.target.name
        if self.target.kind == "pool":
            return POOL_ALIASES.get(name, name) == agent.pool
        return self.target.kind == "auto" or name in (agent.agent_id, agent.manifest)
