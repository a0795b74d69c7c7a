"""Samples, decisions and the scaler's state in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ossa.contracts.scaling import PoolSample, ScaleDecision, peaks_of
from ossa.stores.json_text import as_json
from ossa.testing.stores.gate import Gate


class MemoryScaling:
    """`ossa.contracts.scaling.ScalingStore`. No call changes anything across an await, so each is atomic."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._samples: dict[tuple[datetime, str], PoolSample] = {}
        self._decisions: dict[datetime, bytes] = {}
        self._state: str | None = None

    async def add_samples(self, samples: Sequence[PoolSample]) -> None:
        self._gate.check()
        self._samples.update({(sample.at, sample.pool): sample for sample in samples})

    async def samples(
        self, *, since: datetime, until: datetime | None = None, pools: Sequence[str] | None = None
    ) -> list[PoolSample]:
        self._gate.check()
        return [
            self._samples[at, pool]
            for at, pool in sorted(self._samples)
            if since <= at and (until is None or at < until) and (pools is None or pool in pools)
        ]

    async def peaks(self, *, since: datetime) -> dict[str, float]:
        self._gate.check()
        return peaks_of([sample for (at, _), sample in self._samples.items() if at >= since])

    async def prune(self, *, before: datetime) -> int:
        self._gate.check()
        kept = {key: sample for key, sample in self._samples.items() if key[0] >= before}
        decisions = {at: body for at, body in self._decisions.items() if at >= before}
        removed = len(self._samples) - len(kept) + len(self._decisions) - len(decisions)
        self._samples, self._decisions = kept, decisions
        return removed

    async def add_decision(self, decision: ScaleDecision) -> None:
        self._gate.check()
        self._decisions[decision.at] = as_json(decision)

    async def decisions(self, *, limit: int = 50, before: datetime | None = None) -> list[ScaleDecision]:
        self._gate.check()
        newest = sorted((at for at in self._decisions if before is None or at < before), reverse=True)
        return [ScaleDecision.model_validate_json(self._decisions[at]) for at in newest[:limit]]

    async def save_state(self, state: str) -> None:
        self._gate.check()
        self._state = state

    async def state(self) -> str | None:
        self._gate.check()
        return self._state
