"""What a proposal says."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ossa.contracts.value import Value

ProposalKind = Literal["tier", "cache", "compression", "batch", "idle"]


class Proposal(Value):
    """One change. `experiment`: there is no evidence yet that it does no harm; the proposal is to find out.

    `change` is what the runtime does itself once the proposal is approved: {"manifest", "tier"} or {"pool", "agents"}.
    It is empty where `apply` tells a person what to set.
    """

    id: str = Field(description="the same as long as the same is proposed")
    kind: ProposalKind
    subject: str = Field(description="the manifest or pool it is about; * for the fleet")
    title: str
    saving_usd_month: float | None = Field(description="expected; null where no price is known")
    experiment: bool = False
    evidence: dict[str, Any] = Field(default_factory=dict)
    apply: str
    change: dict[str, Any] = Field(default_factory=dict)
