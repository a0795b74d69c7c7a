"""Budgets: money is reserved before a model call and settled once the call's step is in the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ossa.contracts.errors import AgentLost
from ossa.contracts.task import Outcome, Step
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.spending import api
from ossa.gateway.extensions.spending.metrics import BudgetMetrics
from ossa.gateway.extensions.spending.spending import Spending, TaskSpending
from ossa.gateway.hooks import Extension, Run, TaskHook
from ossa.gateway.routing_request import RoutingRequest
from ossa.routing import Conditions, FleetIndex

NAME = "spending"


class SpendingHook(TaskHook):
    """Reserves and settles for the runs of a replica, and keeps routing from agents that no budget pays for."""

    def __init__(self, spending: Spending) -> None:
        self._spending = spending
        self._runs: dict[Run, TaskSpending] = {}

    def narrow(self, conditions: Conditions, request: RoutingRequest, index: FleetIndex) -> Conditions:
        tenant = request.tenant
        return replace(conditions, budget_left_usd=lambda agent: self._spending.left_usd(tenant, agent))

    async def turn_fields(self, run: Run) -> Mapping[str, Any]:
        return {"budgeted": run.agent is not None and self._of(run).applies(run.agent)}

    async def call(self, call: TurnCall, run: Run) -> TurnCallResult | None:
        if call.reserve is not None and run.agent is not None:
            spending = self._of(run)
            granted = await spending.reserve(call.reserve, run.agent, left_s=run.left_s())
            run.over_soft.update(spending.over_soft)
            return granted
        if call.unused:
            self._of(run).unused(call.unused)
            return TurnCallResult()
        return None

    def committed(self, run: Run, steps: Sequence[Step]) -> None:
        self._of(run).committed(steps)

    def agent_lost(self, run: Run, error: AgentLost) -> None:
        self._of(run).doubt()

    def ended(self, run: Run, outcome: Outcome) -> None:
        self._of(run).doubt()

    def closed(self, run: Run) -> None:
        self._runs.pop(run, None)

    def _of(self, run: Run) -> TaskSpending:
        spending = self._runs.get(run)
        if spending is None:
            spending = self._runs[run] = self._spending.of(run.task)
        return spending


def extension(core: GatewayCore) -> Extension:
    """Budgets of tenants, pools, manifests and tasks."""
    metrics = core.metrics.group(BudgetMetrics)
    spending = Spending(core.stores.budgets, metrics, operator_tenant=core.operator_tenant)
    return Extension(
        NAME,
        hooks=[SpendingHook(spending)],
        routers=[api.router],
        service=spending,
        loops={"budgets": spending.run_forever},
        close=lambda within_s: spending.close(within_s=within_s),
    )
