"""Budgets, and what tasks cost."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ossa.sdk.call import Call, Request
from ossa.sdk.calls.listed import items
from ossa.sdk.values.cost import Budget, Budgets, CostReport, Proposal, Proposals

BUDGETS = "/api/v1/budgets"
PROPOSALS = "/api/v1/cost/proposals"


def budgets() -> Call[Budgets]:
    return Call(Request("GET", BUDGETS), lambda response: Budgets(map(Budget.model_validate, items(response))))


def set_budget(
    kind: str, name: str, hard_usd: float, *, soft_usd: float | None, period: str | None, tenant: str | None
) -> Call[Budget]:
    body: dict[str, Any] = {"kind": kind, "name": name, "hard_usd": hard_usd}
    body.update(_given(soft_usd=soft_usd, period=period, tenant=tenant))
    return Call(Request("PUT", BUDGETS, json=body), lambda response: Budget.model_validate(response.json()))


def remove_budget(kind: str, name: str, *, period: str | None, tenant: str | None) -> Call[Budget]:
    params = {"kind": kind, "name": name, **_given(period=period, tenant=tenant)}
    return Call(
        Request("DELETE", BUDGETS, params=params, repeatable=False),
        lambda response: Budget.model_validate(response.json()),
    )


def report(by: str, days: int) -> Call[CostReport]:
    return Call(
        Request("GET", "/api/v1/cost/report", params={"by": by, "days": days}),
        lambda response: CostReport.model_validate(response.json()),
    )


def proposals() -> Call[Proposals]:
    return Call(Request("GET", PROPOSALS), lambda response: Proposals.model_validate(response.json()))


def approve(proposal_id: str) -> Call[Proposal]:
    return Call(
        Request("POST", f"{PROPOSALS}/{quote(proposal_id, safe='')}/approve", repeatable=False),
        lambda response: Proposal.model_validate(response.json()),
    )


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
