"""The controller: a loop that brings the actual fleet to the desired one. Knows no Ray."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from ossa.contracts.configuration import FleetSettings, ScalingSettings
from ossa.contracts.errors import Conflict, NotFound, OssaError
from ossa.contracts.fleet import (
    AgentState,
    DesiredAgent,
    DesiredFleet,
    DesiredPool,
    FleetSnapshot,
    Operation,
    OperationKind,
    PoolInfo,
)
from ossa.contracts.origin import acting, current_origin
from ossa.contracts.scaling import Predictor, ScalingStatus, TrafficReport
from ossa.contracts.stores import DesiredStores
from ossa.events.fact_queue import FactQueue
from ossa.fleet.agent_facts import AgentFacts
from ossa.fleet.autoscaling.scaler import PoolUsage, Scaler, UsageSampler, rules_of
from ossa.fleet.cluster import Capacity, Cluster
from ossa.fleet.meters import FleetMeters
from ossa.fleet.naming import STANDBY_POOL
from ossa.fleet.operations import Catalogue, OperationLog, Plan, plan_operation, pool_name, pools_ready
from ossa.fleet.reconcile import reconcile
from ossa.fleet.snapshot import SnapshotFeed, one_per_id, pool_status, ready_fresh
from ossa.fleet.state import ActualFleet, BlockView, CreateBlock, Decision, ProcessState, RemoveBlock, desired_agents
from ossa.fleet.supervisor import ProcessSupervisor
from ossa.scaling.decision.state import EVERY_POOL

log = logging.getLogger(__name__)

WAITING_POLL_S = 0.25
"""How often blocks that are not ready are read again."""

FOLLOW_SPACING_S = 0.25
SWEEP_INTERVAL_S = 30.0
ORDER_S = 1.0
"""How long a tenant's change of its own agent waits for what that agent did before: their facts have one order."""

SETTLE_S = 5.0
"""How long a fleet that stops waits for the fact log."""

TICK_SPACING_S = 0.01


class Controller:
    """Controls one fleet; there is one a fleet. Call `open`, then `run`; tests call `tick` and `follow` instead.

    Args:
        stores: opened by `open`.
        catalogue: manifests for pools that have none yet.
        scaling: how pools are sized by load; without it, or with mode off, they keep their size.
        now: wall-clock seconds.
    """

    def __init__(
        self,
        cluster: Cluster,
        stores: DesiredStores,
        settings: FleetSettings,
        catalogue: Catalogue,
        meters: FleetMeters | None = None,
        now: Callable[[], float] = time.time,
        scaling: ScalingSettings | None = None,
        predictor: Predictor | None = None,
    ) -> None:
        self._cluster = cluster
        self._stores = stores
        self._settings = settings
        self._catalogue = catalogue
        self._meters = meters or FleetMeters()
        self._now = now
        self._desired = DesiredFleet()
        self._blocks: dict[str, BlockView] = {}
        self._blocks_read_at = 0.0
        self._capacity: Capacity | None = None
        self._wake = asyncio.Event()
        self._follow_up = asyncio.Event()
        self._writing = asyncio.Lock()
        self._stopping = False
        self._feed = SnapshotFeed(secrets.token_hex(6), int(now() * 1000))
        self._operations = OperationLog(stores.fleet, 2 * settings.start_timeout_s, now)
        self._token = SecretStr("")
        self._supervisor: ProcessSupervisor | None = None
        self._told = FactQueue(stores.facts)
        self._causes = _Causes(self)
        self._agent_facts = AgentFacts(self._told, self._causes, now)
        self._scaling = scaling or ScalingSettings(mode="off")
        self.scaler = Scaler(
            _ControlledFleet(self),
            stores.scaling,
            self._scaling,
            rules_of(self._scaling, settings),
            predictor,
            self._meters,
            now,
        )

    @property
    def supervisor(self) -> ProcessSupervisor:
        if self._supervisor is None:
            raise RuntimeError("the controller is not open")
        return self._supervisor

    async def open(self) -> None:
        """Loads the desired fleet, adopts processes, resumes open operations. May be called again after it raised."""
        await self._stores.open()
        store = self._stores.fleet
        self._token = SecretStr(await store.secret("channel_token", secrets.token_urlsafe(32)))
        self._desired = await store.load()
        least = self._settings.standby
        standby = max(least, self._desired.standby) if self.scaler.acts else least
        await self._save_standby(standby)
        await self.scaler.open()
        self._desired = self._desired.model_copy(update={"borrowed_standbys": self.scaler.borrowed_standbys})
        supervisor = ProcessSupervisor(
            self._cluster, self._settings, self._token, self._meters, self._agent_facts, self.wake, self._now
        )
        await supervisor.adopt()
        self._supervisor = supervisor
        await self._read_blocks()
        await self._operations.load()
        await self._resume()
        await self._agent_facts.adopt(self._stores.facts, tuple(supervisor.processes.values()))
        log.info(
            "fleet_adopted", extra={"processes": len(supervisor.processes), "operations": len(self._operations.open)}
        )

    async def run(self) -> None:
        """Reconciles, probes and follows operations until cancelled."""
        loops = [self._reconcile_loop(), self._follow_loop(), self._sweep_loop()]
        if self._scaling.mode != "off":
            loops.append(self.scaler.run())
        await asyncio.gather(*loops)

    def wake(self) -> None:
        """Reconciles now rather than at the next interval. Call it when something changed."""
        self._wake.set()

    async def tick(self) -> tuple[Decision, ...]:
        """Reads, decides, starts what was decided and publishes, once. Raises what Ray's control plane raises."""
        if self._stopping:
            return ()
        waiting = any(not block.ready for block in self._blocks.values())
        pause = min(WAITING_POLL_S, self._settings.reconcile_interval_s) if waiting else self._interval
        if self._now() - self._blocks_read_at >= pause:
            await self._read_blocks()
        if self.supervisor.failures:
            wanted = desired_agents(self._desired).keys() | {STANDBY_POOL}
            self.supervisor.forget_failures(keep=lambda who: who in wanted)
        decisions = reconcile(self._desired, self._actual(), self._settings, self._now())
        for decision in decisions:
            if not isinstance(decision, CreateBlock | RemoveBlock):
                self.supervisor.carry_out(decision)
        self._agent_facts.tidy()
        self._publish()
        await self._change_blocks(decisions)
        self._follow_up.set()
        return decisions

    async def follow(self) -> None:
        """Writes down the progress of open operations. A snapshot with the same state is published first."""
        self._publish()
        views = [process.view() for process in self.supervisor.processes.values()]
        latest = self._feed.latest
        pending = {pool.name: pool.pending for pool in latest.pools} if latest else {}
        await self._operations.follow(self._desired, views, pending)

    async def snapshot(self, after_version: int, timeout_s: float) -> bytes | None:
        """Returns a `FleetSnapshot` as JSON once it is newer than `after_version`; None after `timeout_s`."""
        return await self._feed.after(after_version, timeout_s)

    async def submit(self, operation_id: str, kind: OperationKind, request: dict[str, Any], tenant: str) -> Operation:
        """Writes the operation down and begins it. Returns the existing operation for an id that is known."""
        async with self._writing:
            existing = await self._operations.find(operation_id)
            if existing is not None:
                return existing
            plan = plan_operation(kind, request, self._desired, self._catalogue)
            self._check_drain(plan)
            time_now, origin = datetime.fromtimestamp(self._now(), UTC), current_origin()
            operation = Operation(
                id=operation_id,
                tenant=tenant,
                kind=kind,
                status="pending",
                request=request,
                created_at=time_now,
                updated_at=time_now,
                request_id=origin.request_id,
                traceparent=origin.traceparent,
                actor=origin.actor,
            )
            await self._operations.write(operation)
            return await self._begin(operation, plan)

    async def spawn_agent(self, agent: DesiredAgent) -> None:
        """Adds one agent to the desired fleet. Raises `Conflict` when the id is taken."""
        async with self._writing:
            if agent in self._desired.agents:
                return
            if agent.agent_id in desired_agents(self._desired):
                raise Conflict(f"agent id {agent.agent_id} is taken", param="agent_id")
            await self._told.settle(ORDER_S)
            await self._stores.fleet.save_agent(agent)
            self._desired = self._desired.model_copy(update={"agents": (*self._desired.agents, agent)})
        self.wake()

    async def remove_agent(self, agent_id: str, tenant: str) -> None:
        """Raises `NotFound`, also for another tenant's agent, and `Conflict` for an agent of a pool."""
        async with self._writing:
            own = next((agent for agent in self._desired.agents if agent.agent_id == agent_id), None)
            if own is None and agent_id in desired_agents(self._desired):
                raise Conflict(f"{agent_id} belongs to a pool; change the pool's size instead", param="agent_id")
            if own is None or own.tenant != tenant:
                raise NotFound(f"there is no agent {agent_id}", param="agent_id")
            await self._told.settle(ORDER_S)
            await self._stores.fleet.remove_agent(agent_id)
            left = tuple(agent for agent in self._desired.agents if agent is not own)
            self._desired = self._desired.model_copy(update={"agents": left})
        self.wake()

    async def report_lost(self, agent_id: str, incarnation: str, reason: str) -> None:
        """Probes that process now, unless it is gone already."""
        process = self.supervisor.processes.get(incarnation)
        log.info("agent_reported_lost", extra={"agent": agent_id, "reason": reason[:200], "gone": process is None})
        if process is not None:
            await self.supervisor.probe(process, at_once=True)

    def report_traffic(self, report: TrafficReport) -> None:
        self.scaler.report(report)

    def scaling(self) -> ScalingStatus:
        return self.scaler.status()

    def alert(self, pools: Sequence[str], for_s: float) -> None:
        """Raises a critical alert for pools. Raises `InvalidRequest` for an unknown pool."""
        names = [EVERY_POOL if pool == EVERY_POOL else pool_name(pool, self._desired, param="pool") for pool in pools]
        self.scaler.alert(names, for_s)

    async def stop(self) -> None:
        """Drains every process and removes every block. The desired fleet stays stored for the next start."""
        self._stopping = True
        await self.scaler.close()
        for process in tuple(self.supervisor.processes.values()):
            if process.state is ProcessState.READY and process.agent_id is not None:
                self.supervisor.drain(process, "the fleet stops")
            elif process.state is not ProcessState.DRAINING:
                self.supervisor.kill(process, "the fleet stops")
        self._publish()
        await self.supervisor.settle()
        await self._read_blocks()
        await asyncio.gather(*(self._cluster.remove_block(name) for name in self._blocks), return_exceptions=True)
        self.supervisor.close()
        if not await self._told.settle(SETTLE_S):
            log.warning("facts_not_told")
        self._told.close()
        await self._stores.close()

    @property
    def _interval(self) -> float:
        return self._settings.reconcile_interval_s

    def _actual(self) -> ActualFleet:
        return ActualFleet(
            processes=tuple(process.view() for process in self.supervisor.processes.values()),
            blocks=tuple(self._blocks.values()),
            failures=self.supervisor.failures,
        )

    async def _read_blocks(self) -> None:
        seen: dict[str, BlockView] = {}
        for status in await self._cluster.blocks():
            before = self._blocks.get(status.name)
            since = before.since if before is not None and before.ready is status.ready else self._now()
            seen[status.name] = BlockView(
                name=status.name, pool=status.pool, agents=status.agents, ready=status.ready, since=since
            )
        self._blocks = seen
        self._blocks_read_at = self._now()
        waiting = [block for block in seen.values() if not block.ready and self._now() - block.since > self._interval]
        self._capacity = await self._cluster.capacity() if waiting else None

    async def _change_blocks(self, decisions: tuple[Decision, ...]) -> None:
        calls = [
            self._cluster.create_block(decision.name, decision.agents)
            if isinstance(decision, CreateBlock)
            else self._cluster.remove_block(decision.name)
            for decision in decisions
            if isinstance(decision, CreateBlock | RemoveBlock)
        ]
        if not calls:
            return
        self._blocks_read_at = 0.0
        for failure in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(failure, BaseException):
                log.warning("block_change_failed", extra={"reason": str(failure)[:300]})
        self.wake()

    def _publish(self) -> None:
        processes = sorted(self.supervisor.processes.values(), key=lambda process: process.since, reverse=True)
        every = [info for process in processes if (info := process.public()) is not None]
        agents = one_per_id(every)
        serving = {agent.agent_id for agent in agents if agent.state == ProcessState.READY.value}
        failures = {who: failure for who, failure in self.supervisor.failures.items() if who not in serving}
        standby = sum(process.agent_id is None and process.state is ProcessState.READY for process in processes)
        block_cpus = self._settings.block_agents * self._settings.cpus_per_agent
        self._feed.publish(
            FleetSnapshot(
                version=0,
                epoch="",
                pools=pool_status(
                    self._desired, agents, tuple(self._blocks.values()), failures, block_cpus, self._capacity
                ),
                agents=agents,
                standby=standby,
                channel_token=self._token.get_secret_value(),
            )
        )
        self._meters.fleet(agents, standby)

    async def _begin(self, operation: Operation, plan: Plan) -> Operation:
        """Makes the plan the desired state. The operation is running once that is durable."""
        if plan.drain is not None:
            return await self._begin_drain(operation, plan.drain)
        for pool in plan.pools:
            self._causes.changed(pool.name, f"operation/{operation.id}")
            await self._save_pool(pool)
        if plan.phase is not None:
            await self._stores.fleet.save_phase(plan.phase)
            self._desired = self._desired.model_copy(update={"phase": plan.phase})
        ready = ready_fresh(self._desired, [process.view() for process in self.supervisor.processes.values()])
        progress = pools_ready(ready, {pool.name: pool.size for pool in plan.pools})
        return await self._running(operation, progress)

    async def _begin_drain(self, operation: Operation, agent_id: str) -> Operation:
        process = self.supervisor.holder(agent_id)
        incarnation = process.incarnation if process is not None else ""
        running = await self._running(operation, {"agent_id": agent_id, "incarnation": incarnation})
        if process is not None:
            process.replace = True
        self.wake()
        return running

    async def _running(self, operation: Operation, progress: dict[str, Any]) -> Operation:
        updated = datetime.fromtimestamp(self._now(), UTC)
        running = operation.model_copy(update={"status": "running", "progress": progress, "updated_at": updated})
        await self._operations.write(running)
        log.info("operation_begun", extra={"operation": running.id, "kind": running.kind})
        self.wake()
        return running

    async def _save_pool(self, pool: DesiredPool) -> None:
        saved = await self._stores.fleet.save_pool(pool)
        pools = {pool.name: pool for pool in self._desired.pools} | {saved.name: saved}
        self._desired = self._desired.model_copy(update={"pools": tuple(pools.values())})
        self.supervisor.forget_failures(keep=lambda who: who.rpartition("-")[0] != pool.name)

    async def _save_standby(self, count: int) -> None:
        if count != self._desired.standby:
            await self._stores.fleet.save_standby(count)
            self._desired = self._desired.model_copy(update={"standby": count})

    async def _resize(self, sizes: Mapping[str, int], standby: int, borrowed: Mapping[str, int]) -> None:
        """Saves and applies the scaler's decision. Raises `StoreUnavailable`; what was saved before that stays."""
        async with self._writing:
            if self._stopping:
                return
            for pool in self._desired.pools:
                if sizes.get(pool.name, pool.size) != pool.size:
                    self._causes.changed(pool.name, _scaling_cause(self.scaler.ticked_at))
                    await self._save_pool(pool.model_copy(update={"size": sizes[pool.name]}))
            await self._save_standby(standby)
            self._desired = self._desired.model_copy(update={"borrowed_standbys": dict(borrowed)})
        self.wake()

    def _check_drain(self, plan: Plan) -> None:
        if plan.drain is not None and plan.drain not in desired_agents(self._desired):
            raise NotFound(f"there is no agent {plan.drain}", param="agent_id")

    async def _resume(self) -> None:
        """Resumes open operations: begins pending ones, and marks the processes of drains again."""
        for operation in tuple(self._operations.open.values()):
            if operation.kind != "drain":
                for pool in operation.progress:
                    self._causes.changed(pool, f"operation/{operation.id}")
            if operation.status == "pending":
                try:
                    plan = plan_operation(operation.kind, operation.request, self._desired, self._catalogue)
                except OssaError:
                    log.warning("operation_not_resumed", extra={"operation": operation.id})
                    continue
                with acting(operation.origin):
                    await self._begin(operation, plan)
            elif operation.kind == "drain":
                process = self.supervisor.processes.get(operation.progress["incarnation"])
                if process is not None:
                    process.replace = True

    async def _reconcile_loop(self) -> None:
        while True:
            self._wake.clear()
            waiting = False
            began = time.monotonic()
            try:
                await self.tick()
                waiting = any(not block.ready for block in self._blocks.values())
            except Exception:
                log.exception("reconcile_crashed")
                self._meters.tick_crashed()
                await asyncio.sleep(WAITING_POLL_S)
            with contextlib.suppress(TimeoutError):
                pause = min(WAITING_POLL_S, self._interval) if waiting else self._interval
                await asyncio.wait_for(self._wake.wait(), pause)
            # The first change is handled at once; a burst of changes is handled together.
            await asyncio.sleep(max(0.0, began + TICK_SPACING_S - time.monotonic()))

    async def _follow_loop(self) -> None:
        while True:
            await self._follow_up.wait()
            self._follow_up.clear()
            try:
                await self.follow()
            except Exception:
                log.exception("following_operations_failed")
            await asyncio.sleep(FOLLOW_SPACING_S)

    async def _sweep_loop(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            try:
                await self.supervisor.sweep()
            except Exception:
                log.exception("sweep_failed")


class _Causes:
    """`Causes` over the controller."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._by_pool: dict[str, str] = {}
        self._desired = DesiredFleet()
        self._wanted: frozenset[str] = frozenset()

    def changed(self, pool: str, cause: str) -> None:
        self._by_pool[pool] = cause

    def wanted(self, agent_id: str) -> bool:
        if self._controller._desired is not self._desired:
            self._desired = self._controller._desired
            self._wanted = frozenset(desired_agents(self._desired))
        return agent_id in self._wanted and not self._controller._stopping

    def cause(self, pool: str, incarnation: str = "") -> str:
        for operation in self._controller._operations.open.values():
            if incarnation and operation.progress.get("incarnation") == incarnation:
                return f"operation/{operation.id}"
        return self._by_pool.get(pool, "")


def _scaling_cause(at: datetime | None) -> str:
    return f"scaling/{at.isoformat()}" if at is not None else ""


class _ControlledFleet:
    """`ScaledFleet` over the controller."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._settings = controller._settings
        self._cluster = controller._cluster
        self._sampler = UsageSampler(self._settings.cpus_per_agent)

    @property
    def standby(self) -> int:
        return self._controller._desired.standby

    def pools(self) -> Sequence[PoolInfo]:
        latest = self._controller._feed.latest
        status = {pool.name: pool for pool in latest.pools} if latest else {}
        # Sizes are those desired now; the snapshot is from the last reconciling.
        return [
            status.get(pool.name, PoolInfo(name=pool.name, desired=0, ready=0)).model_copy(
                update={"desired": pool.size}
            )
            for pool in self._controller._desired.pools
            if pool.manifests
        ]

    def slots(self, pool: str) -> float:
        latest = self._controller._feed.latest
        ready = [
            agent.slots
            for agent in (latest.agents if latest else ())
            if agent.pool == pool and agent.tenant is None and agent.state is AgentState.READY
        ]
        return sum(ready) / len(ready) if ready else float(self._settings.slots_per_agent)

    async def usage(self) -> Mapping[str, PoolUsage]:
        return await self._sampler.sample(tuple(self._controller.supervisor.processes.values()))

    async def nodes(self, agents_per_node: int) -> int:
        capacity = await self._cluster.capacity()
        return int(capacity.cpus / (self._settings.cpus_per_agent * agents_per_node) + 1e-6)

    async def resize(self, sizes: Mapping[str, int], standby: int, borrowed: Mapping[str, int]) -> None:
        await self._controller._resize(sizes, standby, borrowed)

    async def request_nodes(self, agents: int) -> None:
        await self._cluster.request_room(math.ceil(agents / self._settings.block_agents))
