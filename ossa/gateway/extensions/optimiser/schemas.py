"""What goes over the wire about money."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ossa.contracts.budgets import MOST_USD, Balance, Period, SubjectKind
from ossa.cost.optimiser import Measured, Proposal
from ossa.gateway.api.schemas import Closed

NAME = r"^[^\x00-\x1f\x7f]+$"
TENANT = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"


class BudgetBody(Closed):
    """`name` is a tenant, a pool, a manifest, or a task's id; `*` for every task."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"kind": "pool", "name": "security", "period": "day", "hard_usd": 20.0}},
    )

    kind: SubjectKind
    name: str = Field(min_length=1, max_length=256, pattern=NAME)
    period: Period | None = Field(None, description="without it `month`, or `task` for tasks")
    tenant: str | None = Field(
        None, min_length=1, max_length=63, pattern=TENANT, description="whose spending counts; for the operator to say"
    )
    hard_usd: float = Field(ge=0, le=MOST_USD, allow_inf_nan=False)
    soft_usd: float | None = Field(None, ge=0, le=MOST_USD, allow_inf_nan=False)


class BudgetView(BaseModel):
    """A budget in its current period; of one for every task the amounts are 0. `tenant` null: everybody's spending."""

    id: str
    owner: str
    kind: SubjectKind
    name: str
    tenant: str | None
    period: Literal["day", "month", "task"]
    hard_usd: float
    soft_usd: float | None
    spent_usd: float
    reserved_usd: float
    in_doubt_usd: float
    left_usd: float
    ends_at: datetime | None

    @classmethod
    def of(cls, balance: Balance) -> BudgetView:
        return cls(
            id=balance.budget.id,
            **balance.budget.model_dump(),
            spent_usd=balance.spent_usd,
            reserved_usd=balance.reserved_usd,
            in_doubt_usd=balance.in_doubt_usd,
            left_usd=balance.left_usd,
            ends_at=balance.ends_at,
        )


class BudgetList(BaseModel):
    data: list[BudgetView]


class ProposalList(BaseModel):
    """The largest saving first; `approved`: cost a task before and after, newest first."""

    data: list[Proposal]
    approved: list[Measured]


COST_MODELS: dict[str, type[BaseModel]] = {model.__name__: model for model in (BudgetBody,)}
