"""CPU and memory that agents use, by pool, between one sample and the next."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ossa.fleet.cluster import AgentReport, ProcessGone
from ossa.fleet.state import ProcessState
from ossa.fleet.supervisor import AgentProcess

ANSWER_S = 5.0
AT_ONCE = 32
"""Agents asked at the same time."""


@dataclass(frozen=True, slots=True)
class PoolUsage:
    """Means over a pool's agents; None if no agent reported a value."""

    cpu: float | None = None
    memory: float | None = None


class UsageSampler:
    """Samples agents' usage.

    Args:
        cpus_per_agent: an agent's reservation; `cpu` is a share of it and may pass 1.
    """

    def __init__(self, cpus_per_agent: float) -> None:
        self._cpus = cpus_per_agent
        self._last: dict[str, tuple[float, float]] = {}

    async def sample(self, processes: Iterable[AgentProcess]) -> dict[str, PoolUsage]:
        """Returns usage by pool. Agents that do not answer are skipped."""
        ready = [
            process for process in processes if process.state is ProcessState.READY and process.agent_id is not None
        ]
        gate = asyncio.Semaphore(AT_ONCE)
        reports = await asyncio.gather(*(_ask(process, gate) for process in ready))
        seen: dict[str, tuple[float, float]] = {}
        used: dict[str, list[float]] = defaultdict(list)
        memory: dict[str, list[float]] = defaultdict(list)
        for process, report in zip(ready, reports, strict=True):
            if report is None:
                continue
            pool = process.view().pool
            seen[process.incarnation] = (report.clock_s, report.cpu_s)
            before = self._last.get(process.incarnation)
            if before is not None and report.clock_s > before[0]:
                used[pool].append((report.cpu_s - before[1]) / (report.clock_s - before[0]) / self._cpus)
            if report.memory is not None:
                memory[pool].append(report.memory)
        self._last = seen
        return {pool: PoolUsage(_mean(used[pool]), _mean(memory[pool])) for pool in used.keys() | memory.keys()}


async def _ask(process: AgentProcess, gate: asyncio.Semaphore) -> AgentReport | None:
    async with gate:
        if process.handle is None:
            return None
        try:
            return await process.handle.describe(ANSWER_S)
        except (ProcessGone, TimeoutError):
            return None


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
