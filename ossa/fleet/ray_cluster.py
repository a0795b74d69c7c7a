"""`Cluster` on Ray: blocks are detached placement groups of one bundle, processes are detached named actors.

Only this file creates, finds and kills them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ossa.channel.control import ControlLine
from ossa.contracts.configuration import FleetSettings
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Assignment
from ossa.fleet.agent_actor import Admission, AgentActor, RunnerFactory
from ossa.fleet.cluster import AgentReport, BlockStatus, Capacity, LaunchSpec, ProcessGone
from ossa.fleet.naming import STANDBY_POOL, ActorName, block_pool, group_name, parse_actor_name, parse_group_name
from ossa.fleet.placement import block_bundle

log = logging.getLogger(__name__)
T = TypeVar("T")

CALL_TIMEOUT_S = 15.0
"""Limit for one call to Ray's control plane."""

PROBE_TIMEOUT_S = 5.0
REDIAL_S = 1.0


class RayCluster:
    """One fleet's blocks and processes; the namespace separates them from other fleets'."""

    def __init__(self, settings: FleetSettings, runner_factory: RunnerFactory) -> None:
        self._settings = settings
        self._runner_factory = runner_factory
        self._actor_class = ray.remote(AgentActor)
        self._groups: dict[str, PlacementGroup] = {}

    async def blocks(self) -> list[BlockStatus]:
        table = await _ask(placement_group_table)
        blocks: dict[str, tuple[PlacementGroup, BlockStatus]] = {}
        for row in table.values():
            block = parse_group_name(row["name"], self._settings.namespace)
            if block is None or row["state"] == "REMOVED":
                continue
            cpus = sum(bundle.get("CPU", 0.0) for bundle in row["bundles"].values())
            status = BlockStatus(
                name=block,
                pool=block_pool(block),
                agents=int(cpus / self._settings.cpus_per_agent + 1e-6),
                ready=row["state"] == "CREATED",
            )
            blocks[block] = (_group(row["placement_group_id"]), status)
        self._groups = {block: group for block, (group, _) in blocks.items()}
        return [status for _, status in blocks.values()]

    async def create_block(self, name: str, agents: int) -> None:
        settings = self._settings
        bundle = block_bundle(agents, settings)
        self._groups[name] = await _ask(
            lambda: placement_group(
                [bundle], strategy="PACK", name=group_name(settings.namespace, name), lifetime="detached"
            )
        )

    async def remove_block(self, name: str) -> None:
        group = self._groups.pop(name, None)
        if group is not None:
            await _ask(lambda: remove_placement_group(group))

    async def start(self, launch: LaunchSpec) -> RayProcess:
        settings = self._settings
        place = launch.assignment.agent_id if launch.assignment else STANDBY_POOL
        name = ActorName(place, launch.incarnation)
        group = self._groups.get(launch.block)
        if group is None:
            raise ConnectionError(f"block {launch.block} is gone")
        options = self._actor_class.options(
            name=str(name),
            namespace=settings.namespace,
            lifetime="detached",
            max_restarts=0,
            max_task_retries=0,
            num_cpus=settings.cpus_per_agent,
            memory=settings.memory_per_agent_mib * 2**20 or None,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0),
            _labels={"ossa-fleet": settings.namespace, "ossa-block": launch.block},
        )
        handle = await _ask(lambda: options.remote(launch, self._runner_factory))
        return RayProcess(name, handle)

    async def processes(self) -> list[RayProcess]:
        return await _ask(lambda: find_processes(self._settings.namespace))

    async def capacity(self) -> Capacity:
        total = await _ask(ray.cluster_resources)
        free = await _ask(ray.available_resources)
        return Capacity(cpus=total.get("CPU", 0.0), free=free.get("CPU", 0.0))

    async def request_room(self, blocks: int) -> None:
        """Ray keeps one such request a cluster: another caller's request replaces this one."""
        bundle = block_bundle(self._settings.block_agents, self._settings)
        await _ask(lambda: request_resources(bundles=[bundle] * blocks))


class RayProcess:
    """`ProcessHandle` over an actor handle and, from the first call on, a direct connection (a line) to the process.

    Ray tells where the process is and when it dies; all else goes over the line. While the line is up the process's
    main thread rests. A new supervisor waits until the line of the former one is gone.
    """

    def __init__(self, name: ActorName, handle: Any) -> None:
        self.place, self.incarnation = name
        self.handle = handle
        self._line: ControlLine | None = None
        self._dialled = asyncio.Event()
        self._life: asyncio.Task[str] | None = None

    async def describe(self, timeout_s: float) -> AgentReport:
        return AgentReport.model_validate(await self._call("describe", None, timeout_s))

    async def assign(self, assignment: Assignment, timeout_s: float) -> AgentInfo:
        body = orjson.Fragment(assignment.model_dump_json())
        return AgentInfo.model_validate(await self._call("assign", body, timeout_s))

    async def drain(self, timeout_s: float) -> None:
        await self._call("drain", None, timeout_s)

    async def wait_closed(self) -> str:
        return await self._follow()

    async def kill(self) -> None:
        # Ray may have forgotten a dead actor; nothing is left to do then.
        with contextlib.suppress(RayError, ValueError, TimeoutError, ConnectionError):
            await _ask(lambda: ray.kill(self.handle, no_restart=True))

    async def _call(self, method: str, body: Any, timeout_s: float) -> Any:
        """Calls until there is an answer, and reconnects a broken line. The process may see a call twice."""
        life = self._follow()
        async with asyncio.timeout(timeout_s):
            while True:
                line = self._line or await self._next_line(life)
                try:
                    return await line.call(method, body)
                except ConnectionError:
                    self._hang_up(line)

    async def _next_line(self, life: asyncio.Task[str]) -> ControlLine:
        """Waits for a line. Raises `ProcessGone` when there will be none."""
        while self._line is None:
            dialled = asyncio.ensure_future(self._dialled.wait())
            try:
                await asyncio.wait((life, dialled), return_when=asyncio.FIRST_COMPLETED)
            finally:
                dialled.cancel()
            if life.done():
                raise ProcessGone("it was released" if life.cancelled() else life.result())
        return self._line

    def _follow(self) -> asyncio.Task[str]:
        if self._life is None or self._life.cancelled():
            self._life = asyncio.create_task(self._live())
        return self._life

    async def _live(self) -> str:
        """Keeps a line until the process is gone; returns how it ended."""
        try:
            while True:
                if self._line is None or self._line.lost:
                    await self._dial()
                try:
                    await self.handle.serve.remote()
                except ActorUnavailableError as error:
                    if not await self._answers():
                        await self.kill()
                        return f"out of reach: {last_line(error)}"
                    await asyncio.sleep(REDIAL_S)
                else:
                    self._hang_up(self._line)  # the process reports that nobody is connected
        except ActorDiedError as error:
            return last_line(error)
        except RayError as error:
            await self.kill()
            return last_line(error)
        finally:
            self._hang_up(self._line)

    async def _dial(self) -> None:
        self._hang_up(self._line)
        while self._line is None:
            admission: Admission = await self.handle.admit.remote()
            try:
                self._line = await ControlLine.dial(admission.address, admission.secret.get_secret_value())
            except (OSError, TimeoutError) as error:
                log.warning("agent_not_reached", extra={"place": self.place, "reason": str(error)[:200]})
                await asyncio.sleep(REDIAL_S)
        self._dialled.set()

    def _hang_up(self, line: ControlLine | None) -> None:
        if line is not None and self._line is line:
            self._line = None
            self._dialled.clear()
            line.hang_up()

    async def _answers(self) -> bool:
        if self._line is None:
            return False
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self._line.call("describe")
        except (ConnectionError, TimeoutError):
            return False
        return True


def find_processes(namespace: str) -> list[RayProcess]:
    """Returns all agents' processes of a fleet. Blocks; asks Ray once, and then once for each."""
    processes: list[RayProcess] = []
    for row in ray.util.list_named_actors(all_namespaces=True):
        name = parse_actor_name(row["name"]) if row["namespace"] == namespace else None
        if name is None:
            continue
        with contextlib.suppress(ValueError):  # it died since it was listed
            processes.append(RayProcess(name, ray.get_actor(str(name), namespace=namespace)))
    return processes


def find_groups(namespace: str) -> list[PlacementGroup]:
    """Returns all placement groups of a fleet. Blocks."""
    return [
        _group(row["placement_group_id"])
        for row in placement_group_table().values()
        if row["state"] != "REMOVED" and parse_group_name(row["name"], namespace) is not None
    ]


def _group(hex_id: str) -> PlacementGroup:
    return PlacementGroup(ray.PlacementGroupID(bytes.fromhex(hex_id)))


async def _ask(question: Callable[[], T]) -> T:
    """Runs a blocking call to Ray's control plane beside the loop, with a time limit.

    Raises `TimeoutError`, and `ConnectionError` for what Ray itself raised.
    """
    try:
        return await asyncio.wait_for(asyncio.to_thread(question), CALL_TIMEOUT_S)
    except RayError as error:
        raise ConnectionError(last_line(error)) from error


def last_line(error: Exception) -> str:
    """Shortens Ray's long messages to the line with the cause: why the actor died, else the last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    died = [line for line in lines if line.startswith("The actor is dead because")]
    text = died[-1] if died else (lines[-1] if lines else type(error).__name__)
    return text[:300]
