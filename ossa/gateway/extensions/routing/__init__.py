"""What this replica's routing decisions are made under, and the routes about routing."""

from __future__ import annotations

from contextlib import suppress

from ossa.contracts.errors import AgentLost, NotReady, OssaError
from ossa.contracts.task import NewTask, Outcome, Task
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.routing import admin_api, api, feedback_api
from ossa.gateway.extensions.routing.metrics import RoutingMetrics
from ossa.gateway.extensions.routing.schemas import ROUTING_MODELS
from ossa.gateway.extensions.routing.state import RoutingState
from ossa.gateway.hooks import Extension, Run, TaskHook, TaskState
from ossa.gateway.routing_request import RoutingRequest
from ossa.routing import Conditions, FleetIndex
from ossa.routing.registry import LiveRouter

NAME = "routing"


class RoutingHook(TaskHook):
    """Gives each decision its conditions, and tells the routing state how turns went."""

    def __init__(self, core: GatewayCore, state: RoutingState, metrics: RoutingMetrics) -> None:
        self._clock = core.clock
        self._state = state
        self._metrics = metrics
        self._index: FleetIndex | None = None
        self._trying_since: dict[Run, float] = {}

    def narrow(self, conditions: Conditions, request: RoutingRequest, index: FleetIndex) -> Conditions:
        if index is not self._index:
            self._index = index
            self._state.forget(index)
        return self._state.conditions(conditions, request.tenant, request.features)

    def moved(
        self, state: TaskState, task: NewTask | Task, run: Run | None = None, error: OssaError | None = None
    ) -> None:
        if run is None:
            return
        if state == "scheduled" and run.route is not None:
            self._metrics.decided(run.route.router)
        elif state == "busy":
            self._gave_up(run)

    def started(self, run: Run) -> None:
        if run.agent is not None:
            self._trying_since[run] = self._clock()
            self._state.began(run.task.tenant, run.agent, run.tier)

    def agent_lost(self, run: Run, error: AgentLost) -> None:
        self._gave_up(run)

    def ended(self, run: Run, outcome: Outcome) -> None:
        since = self._trying_since.pop(run, None)
        if since is not None and run.agent is not None:
            self._state.ended(run.task, run.agent, run.tier, outcome, self._clock() - since)

    def closed(self, run: Run) -> None:
        self._gave_up(run)

    def _gave_up(self, run: Run) -> None:
        if self._trying_since.pop(run, None) is not None and run.agent is not None:
            self._state.gave_up(run.task.tenant, run.agent, run.tier)


def extension(core: GatewayCore) -> Extension:
    """Learned and rule-based routing, policies, breakers, affinity; feedback on answers."""
    metrics = core.metrics.group(RoutingMetrics)
    router = LiveRouter(core.stores.routing, meter=metrics)
    state = RoutingState(clock=core.clock, scorer=router.scorer, policies=lambda: router.policies)

    async def start() -> None:
        await router.start()
        with suppress(NotReady):
            await router.prepare(core.index())

    return Extension(
        NAME,
        hooks=[RoutingHook(core, state, metrics)],
        routers=[api.router, feedback_api.router, admin_api.router],
        schemas=tuple(ROUTING_MODELS.values()),
        service=router,
        start=start,
        close=lambda _within_s: router.stop(),
    )
