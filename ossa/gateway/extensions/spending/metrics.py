"""What budgets did, as Prometheus sees it."""

from __future__ import annotations

from collections.abc import Sequence

from ossa.contracts.budgets import Balance, Grant, Recovered
from ossa.observability import AtMost, MetricGroup, counter, gauge

SERIES_MAX = 1000
"""Budgets with series of their own, at most."""


class BudgetMetrics(MetricGroup):
    """Amounts of a budget are the whole fleet's, in its current period."""

    reservations = counter(
        "ossa_budget_reservations_total", "Asked for, by outcome", outcome=("granted", "shrunk", "refused")
    )
    settled = counter("ossa_budget_settled_usd_total", "Cost of calls that had been reserved for")
    overrun = counter("ossa_budget_overrun_usd_total", "Cost beyond what was reserved")
    in_doubt = counter("ossa_budget_in_doubt_usd_total", "Charged in full: cost not known")
    recovered = counter(
        "ossa_budget_recovered_total", "Reservations closed for an owner that was lost", as_=("settled", "in_doubt")
    )
    warnings = counter("ossa_budget_warnings_total", "Grants above a soft limit", budget=AtMost(SERIES_MAX, "budgets"))
    amount = gauge(
        "ossa_budget_usd",
        "Of each budget",
        budget=AtMost(SERIES_MAX, "budgets"),
        part=("hard", "spent", "reserved", "in_doubt"),
    )

    def granted(self, grant: Grant, most_usd: float) -> None:
        shrunk = grant.usd < most_usd - 1e-9
        self.reservations.labels("shrunk" if shrunk else "granted").inc()
        for label, _ in grant.warnings:
            self.warnings.labels(label).inc()

    def found(self, recovered: Recovered) -> None:
        self.recovered.labels("settled").inc(recovered.settled)
        self.recovered.labels("in_doubt").inc(recovered.in_doubt)
        self.in_doubt.inc(recovered.in_doubt_usd)

    def show(self, balances: Sequence[Balance]) -> None:
        self.amount.clear()
        for balance in balances[:SERIES_MAX]:
            name = balance.budget.id
            self.amount.labels(name, "hard").set(balance.budget.hard_usd)
            self.amount.labels(name, "spent").set(balance.spent_usd)
            self.amount.labels(name, "reserved").set(balance.reserved_usd)
            self.amount.labels(name, "in_doubt").set(balance.in_doubt_usd)
