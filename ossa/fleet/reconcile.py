"""Takes the desired and the actual fleet, returns decisions. No clock, no Ray, no IO.

An agent is an id such as `intelligence-003`; a place is room in a block. A process joins the two. So a standby takes
over a lost agent in its own place, and the next standby starts in the place that became free. A process is *stale* if
its manifest is old, its block must go, or somebody asked to replace it. It serves on until a standby has taken over
its agent's id (docs/decisions/0003-standby.md).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict

from ossa.contracts.configuration import FleetSettings
from ossa.contracts.fleet import DesiredFleet
from ossa.contracts.task import Assignment
from ossa.fleet.naming import STANDBY_POOL
from ossa.fleet.placement import BlockRoom, blocks_wanted, doomed_blocks, missing_blocks
from ossa.fleet.state import (
    ActualFleet,
    AssignStandby,
    Decision,
    Drain,
    Kill,
    ProcessState,
    ProcessView,
    RemoveBlock,
    StartAgent,
    StartStandby,
    borrowed_standbys,
    desired_agents,
)

SURGE_SHARE = 0.25
"""Share of a pool that is replaced at the same time, at most (but at least one agent)."""

PATIENCE_S = 10.0
"""How long to wait for requested room before second-best room (or the old process's own) is used."""


def reconcile(desired: DesiredFleet, actual: ActualFleet, settings: FleetSettings, now: float) -> tuple[Decision, ...]:
    """Returns the next steps towards the desired fleet; none when it is reached or there is only waiting to do.

    No step is returned twice as long as `actual` shows what was started.
    """
    return _Reconciliation(desired, actual, settings, now).decide()


class _Reconciliation:
    def __init__(self, desired: DesiredFleet, actual: ActualFleet, settings: FleetSettings, now: float) -> None:
        self._actual = actual
        self._settings = settings
        self._now = now
        self._wanted = desired_agents(desired)
        self._sizes = Counter(assignment.pool for assignment in self._wanted.values())
        self._decisions: list[Decision] = []
        self._moving: Counter[str] = Counter()
        live = [process for process in actual.processes if process.state is not ProcessState.DRAINING]
        self._standbys = [process for process in live if process.agent_id is None]
        self._holders: dict[str, list[ProcessView]] = defaultdict(list)
        for process in live:
            if process.agent_id is not None:
                self._holders[process.agent_id].append(process)
        starting = sum(process.state is ProcessState.STARTING for process in live)
        self._starts_left = settings.start_parallelism - starting
        # A borrowed standby keeps its place, and counts as a standby when blocks are counted.
        borrowed = Counter(borrowed_standbys(desired))
        own = self._sizes - borrowed
        self._home = {block.name: block.pool for block in actual.blocks}
        there = Counter(self._home.values())
        overflow = self._overflow()
        working = {process.block for process in live if process.agent_id in self._wanted}
        # Which blocks must go depends on the standbys needed to move their agents, and those depend on the blocks.
        # So blocks are counted for the plain number of standbys first, then again with the surge.
        base = blocks_wanted(own, desired.standby, settings.block_agents, there, overflow)
        self._doomed = doomed_blocks(base, [block for block in actual.blocks if block.pool != STANDBY_POOL])
        self._standby_target = max(desired.standby - borrowed.total(), self._surge())
        self._needed = blocks_wanted(
            own, self._standby_target + borrowed.total(), settings.block_agents, there, overflow
        )
        self._doomed |= doomed_blocks(
            self._needed, actual.blocks, working, {process.block for process in self._standbys}
        )
        self._new_blocks = missing_blocks(self._needed, actual.blocks, settings.block_agents)
        self._coming = {block.pool for block in self._new_blocks} | {
            block.pool for block in actual.blocks if not block.ready and now - block.since <= PATIENCE_S
        }

    def decide(self) -> tuple[Decision, ...]:
        self._decisions += self._new_blocks
        self._dismiss_unwanted()
        stale: list[ProcessView] = []
        missing: list[Assignment] = []
        for agent_id, assignment in self._wanted.items():
            keeper = self._settle(assignment, self._holders.get(agent_id, []))
            if keeper is None:
                missing.append(assignment)
            elif self._is_stale(keeper):
                stale.append(keeper)
            elif keeper.state is ProcessState.STARTING:
                self._moving[assignment.pool] += 1
        self._fill(missing)
        self._replace(stale)
        self._keep_standbys()
        self._remove_blocks()
        return tuple(self._decisions)

    def _overflow(self) -> Counter[str]:
        """Returns agents by pool in standbys' blocks, including those that a standby there is about to become."""
        home = self._home
        free = Counter(home.get(process.block, "") for process in self._standbys)
        overflow: Counter[str] = Counter()
        for agent_id, assignment in self._wanted.items():
            holders = self._holders.get(agent_id)
            if holders:
                stands = [home.get(process.block, "") for process in holders]
            else:
                stands = [name for name in (assignment.pool, STANDBY_POOL) if free[name]][:1]
                free.subtract(stands)
            overflow[assignment.pool] += STANDBY_POOL in stands
        return overflow

    def _is_stale(self, process: ProcessView) -> bool:
        assignment = self._wanted.get(process.agent_id or "")
        return (
            assignment is None
            or process.digest != assignment.spec.digest
            or process.pool != assignment.pool
            or process.tenant != assignment.tenant
            or process.block in self._doomed
            or process.replace
        )

    def _surge(self) -> int:
        """Returns the standbys to hold for rolling replacements: a share of each pool with stale agents."""
        stale = Counter(
            process.pool
            for agent_id, holders in self._holders.items()
            if agent_id in self._wanted
            for process in holders
            if process.state is ProcessState.READY and self._is_stale(process)
        )
        surge = sum(min(count, self._allowance(pool)) for pool, count in stale.items())
        return min(surge, self._settings.start_parallelism)

    def _allowance(self, pool: str) -> int:
        return max(1, math.floor(self._sizes[pool] * SURGE_SHARE))

    def _dismiss_unwanted(self) -> None:
        for agent_id, holders in self._holders.items():
            if agent_id not in self._wanted:
                for process in holders:
                    self._dismiss(process, "no longer desired")

    def _dismiss(self, process: ProcessView, reason: str) -> None:
        """Drains a process that may run turns, kills one that cannot yet."""
        if process.state is ProcessState.READY:
            self._decisions.append(Drain(incarnation=process.incarnation, reason=reason))
        else:
            self._decisions.append(Kill(incarnation=process.incarnation, reason=reason))

    def _settle(self, assignment: Assignment, holders: list[ProcessView]) -> ProcessView | None:
        """Keeps one process for the agent, or an old one beside its successor. Returns None if the agent has none."""
        ranked = sorted(holders, key=self._rank, reverse=True)
        starting_stale = [p for p in ranked if p.state is ProcessState.STARTING and self._is_stale(p)]
        for process in starting_stale:
            self._dismiss(process, "started for an older manifest")
        ranked = [process for process in ranked if process not in starting_stale]
        if not ranked:
            return None
        keeper = ranked[0]
        serving = next((process for process in ranked if process.state is ProcessState.READY), None)
        for process in ranked[1:]:
            if process is not serving:
                self._dismiss(process, f"{assignment.agent_id} has another process")
        return keeper

    def _rank(self, process: ProcessView) -> tuple[bool, bool, float, str]:
        """Sorts fresh before stale, ready before starting, then newest first."""
        return (not self._is_stale(process), process.state is ProcessState.READY, process.since, process.incarnation)

    def _fill(self, missing: list[Assignment]) -> None:
        self._room = BlockRoom(self._actual.blocks, self._doomed, self._actual.processes)
        self._short = Counter(assignment.pool for assignment in missing)
        for assignment in missing:
            if not self._backing_off(assignment.agent_id) and self._provide(assignment):
                self._short[assignment.pool] -= 1

    def _provide(self, assignment: Assignment) -> bool:
        """Gives the agent a standby, or starts a process where there is room. False: neither is possible now."""
        standby = self._ready_standby(assignment.pool)
        if standby is not None:
            self._decisions.append(AssignStandby(incarnation=standby.incarnation, assignment=assignment))
            self._moving[assignment.pool] += 1
            return True
        if self._starts_left <= 0:
            return False
        block = self._room.take(assignment.pool)
        if block is None and assignment.pool not in self._coming:
            block = self._room.take_spare(self._short)
        if block is None:
            return False
        self._starts_left -= 1
        self._moving[assignment.pool] += 1
        self._decisions.append(StartAgent(block=block, assignment=assignment))
        return True

    def _backing_off(self, key: str) -> bool:
        failure = self._actual.failures.get(key)
        return failure is not None and failure.retry_at > self._now

    def _ready_standby(self, pool: str) -> ProcessView | None:
        """Takes a ready standby, preferably from the pool's own blocks, so that pools stay where they are."""
        ready = [p for p in self._standbys if p.state is ProcessState.READY and p.block not in self._doomed]
        if not ready:
            return None
        rank = {pool: 0, STANDBY_POOL: 1}
        chosen = min(ready, key=lambda p: (rank.get(self._home.get(p.block, ""), 2), p.since, p.incarnation))
        self._standbys.remove(chosen)
        return chosen

    def _replace(self, stale: list[ProcessView]) -> None:
        """Replaces stale processes a few at a time. The old one drains once its successor is ready."""
        for process in stale:
            assignment = self._wanted[process.agent_id or ""]
            pool = assignment.pool
            if self._backing_off(assignment.agent_id) or self._moving[pool] >= self._allowance(pool):
                continue
            if (
                not self._provide(assignment)
                and self._no_standby_expected()
                and self._moving[pool] + self._short[pool] == 0
            ):
                self._moving[pool] += 1
                self._decisions.append(Drain(incarnation=process.incarnation, reason="replaced in its own place"))

    def _no_standby_expected(self) -> bool:
        """Whether no standby can be expected: none is up, and the cluster has had no room for one for a while."""
        if self._standbys:
            return False
        return any(
            block.pool == STANDBY_POOL and not block.ready and self._now - block.since > PATIENCE_S
            for block in self._actual.blocks
        )

    def _keep_standbys(self) -> None:
        leaving = [process for process in self._standbys if process.block in self._doomed]
        staying = [process for process in self._standbys if process.block not in self._doomed]
        staying.sort(key=lambda p: (p.state is ProcessState.READY, -p.since, p.incarnation), reverse=True)
        over = staying[self._standby_target :]
        # Starting standbys stay for agents that lack a process: they are up sooner than one started now.
        awaited = [process for process in over if process.state is ProcessState.STARTING][: self._short.total()]
        for process in leaving + over:
            if process not in awaited:
                self._decisions.append(Kill(incarnation=process.incarnation, reason="more standbys than desired"))
        if self._backing_off(STANDBY_POOL):
            return
        for _ in range(min(self._standby_target - len(staying), self._starts_left)):
            block = self._room.take_spare(self._short)
            if block is None:
                return
            self._decisions.append(StartStandby(block=block))

    def _remove_blocks(self) -> None:
        used = {process.block for process in self._actual.processes}
        self._decisions += [RemoveBlock(name=name) for name in sorted(self._doomed - used)]
