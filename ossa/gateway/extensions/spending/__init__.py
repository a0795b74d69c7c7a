"""Budgets: money is reserved before a model call and settled once the call's step is in the journal."""

from __future__ import annotations

from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.spending import api
from ossa.gateway.extensions.spending.metrics import BudgetMetrics
from ossa.gateway.extensions.spending.spending import Spending, SpendingHook
from ossa.gateway.hooks import Extension

NAME = "spending"


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
