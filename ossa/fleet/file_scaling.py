"""`ScalingStore` in one JSON file, for `ossa.fleet.file_store`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ossa.contracts.scaling import PoolSample, ScaleDecision, peaks_of
from ossa.contracts.value import Value
from ossa.fleet.json_file import JsonFile

MOST_KEPT = 300
"""Samples, and decisions: each call reads and writes the whole file, so older ones go."""


class _Content(Value):
    samples: tuple[PoolSample, ...] = ()
    decisions: tuple[ScaleDecision, ...] = ()
    state: str | None = None


class FileScaling:
    """Both kept oldest first, `MOST_KEPT` of each at most."""

    def __init__(self, path: Path, down: Path) -> None:
        self._file = JsonFile(path, _Content(), down)

    async def add_samples(self, samples: Sequence[PoolSample]) -> None:
        content = self._file.read()
        known = {(one.at, one.pool): one for one in (*content.samples, *samples)}
        kept = tuple(known[key] for key in sorted(known)[-MOST_KEPT:])
        self._file.write(content.model_copy(update={"samples": kept}))

    async def samples(
        self, *, since: datetime, until: datetime | None = None, pools: Sequence[str] | None = None
    ) -> list[PoolSample]:
        return [
            one
            for one in self._file.read().samples
            if since <= one.at and (until is None or one.at < until) and (pools is None or one.pool in pools)
        ]

    async def peaks(self, *, since: datetime) -> dict[str, float]:
        return peaks_of([one for one in self._file.read().samples if one.at >= since])

    async def prune(self, *, before: datetime) -> int:
        content = self._file.read()
        samples = tuple(one for one in content.samples if one.at >= before)
        decisions = tuple(one for one in content.decisions if one.at >= before)
        self._file.write(content.model_copy(update={"samples": samples, "decisions": decisions}))
        return len(content.samples) - len(samples) + len(content.decisions) - len(decisions)

    async def add_decision(self, decision: ScaleDecision) -> None:
        content = self._file.read()
        known = {one.at: one for one in (*content.decisions, decision)}
        kept = tuple(known[at] for at in sorted(known)[-MOST_KEPT:])
        self._file.write(content.model_copy(update={"decisions": kept}))

    async def decisions(self, *, limit: int = 50, before: datetime | None = None) -> list[ScaleDecision]:
        newest = [one for one in reversed(self._file.read().decisions) if before is None or one.at < before]
        return newest[:limit]

    async def save_state(self, state: str) -> None:
        self._file.write(self._file.read().model_copy(update={"state": state}))

    async def state(self) -> str | None:
        return self._file.read().state
