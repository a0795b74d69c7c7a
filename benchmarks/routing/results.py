"""One object a set and method, as the figures' file has it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Result:
    """
    Attributes:
        accuracy: share of test texts with the right label, or mean score of the chosen models.
        cost_usd: mean of a prompt.
        apgr: average performance gap recovered between two models (Ong et al. 2024).
        aiq: mean quality over costs under the curve's rising convex hull (Hu et al. 2024).
        oos_recall: share of out-of-scope texts that were refused.
        ece: expected calibration error, 15 bins.
    """

    set: str
    kind: Literal["model", "label"]
    method: str
    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    cost_usd: float | None = None
    apgr: float | None = None
    aiq: float | None = None
    oos_recall: float | None = None
    ece: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            name: round(value, 7 if name == "cost_usd" else 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Target:
    """One thing that must be shown; `measured` is None where the set was not run."""

    name: str
    asked: float
    measured: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.measured <= self.asked if self.at_most else self.measured >= self.asked

    def as_json(self) -> dict[str, Any]:
        sign = "<=" if self.at_most else ">="
        return {"target": f"{self.name} {sign} {self.asked:g}", "measured": round(self.measured, 7), "met": self.met}
