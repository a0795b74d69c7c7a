"""The controller as a detached Ray actor, restarted without limit, and what starts and stops it.

Its state is in the store and in live processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.placement_group import remove_placement_group

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.configuration import FleetSettings, ScalingSettings
from ossa.contracts.errors import Conflict, NotReady, OssaError
from ossa.contracts.fleet import DesiredAgent, Operation, OperationKind
from ossa.contracts.origin import NOWHERE, Origin, acting, set_origin
from ossa.contracts.scaling import ScalingStatus, TrafficReport
from ossa.contracts.stores import DesiredStores, PredictorStores
from ossa.fleet.agent_actor import RunnerFactory
from ossa.fleet.autoscaling.forecaster import RayForecaster, end_forecaster
from ossa.fleet.controller import Controller
from ossa.fleet.naming import CONTROLLER
from ossa.fleet.ray_cluster import RayCluster, find_groups, find_processes, last_line
from ossa.observability.logs import write_log_lines

log = logging.getLogger(__name__)

OPEN_RETRY_S = 1.0


@dataclass(frozen=True)
class ControllerConfig:
    """What a fleet is started with. It is pickled into the controller, which gets it again at every restart.

    Attributes:
        runner_factory: builds an agent's runner, in the agent's process.
        stores_factory: builds the stores, in the controller's process.
        catalogue: manifests for pools that have none.
        fleet_id: the store's id; distinguishes this fleet from another one in the same namespace.
        predictor_stores: builds the stores of the predictor, in its process; None: rules alone scale.
    """

    settings: FleetSettings
    runner_factory: RunnerFactory
    stores_factory: Callable[[], DesiredStores]
    catalogue: Mapping[str, tuple[AgentSpec, ...]] = field(default_factory=dict)
    fleet_id: str = ""
    scaling: ScalingSettings = field(default_factory=ScalingSettings)
    predictor_stores: Callable[[], PredictorStores] | None = None


class ControllerActor:
    """Calls wait until the controller is open, that is, has loaded its state and adopted live processes.

    `origin` is the caller's; what the call does is done under it.
    """

    async def __init__(self, config: ControllerConfig) -> None:  # type: ignore[misc]
        write_log_lines()
        self._config = config
        self._controller: Controller | None = None
        self._open = asyncio.Event()
        self._trouble = "it is starting"
        self._life = asyncio.create_task(self._live())

    def __repr__(self) -> str:
        return "fleet-controller"

    async def ready(self, timeout_s: float, fleet_id: str) -> None:
        """Returns once open. Raises `NotReady` with the reason if it is not; `Conflict` for another fleet's id."""
        if fleet_id != self._config.fleet_id:
            raise Conflict(
                f"another fleet, with another database, runs in the namespace {self._config.settings.namespace} of "
                "this Ray cluster: set OSSA_FLEET__NAMESPACE, or join it with its own OSSA_HOME or OSSA_DATABASE__DSN",
                param="fleet.namespace",
            )
        await self._opened(timeout_s)

    async def snapshot(self, after_version: int, timeout_s: float) -> bytes | None:
        return await (await self._opened(timeout_s)).snapshot(after_version, timeout_s)

    async def submit(
        self, operation_id: str, kind: OperationKind, request: dict[str, Any], tenant: str, origin: Origin = NOWHERE
    ) -> Operation:
        with acting(origin):
            return await (await self._opened()).submit(operation_id, kind, request, tenant)

    async def spawn_agent(self, agent: DesiredAgent, origin: Origin = NOWHERE) -> None:
        with acting(origin):
            await (await self._opened()).spawn_agent(agent)

    async def remove_agent(self, agent_id: str, tenant: str, origin: Origin = NOWHERE) -> None:
        with acting(origin):
            await (await self._opened()).remove_agent(agent_id, tenant)

    async def report_lost(self, agent_id: str, incarnation: str, reason: str, origin: Origin = NOWHERE) -> None:
        with acting(origin):
            await (await self._opened()).report_lost(agent_id, incarnation, reason)

    async def report_traffic(self, report: TrafficReport) -> None:
        (await self._opened()).report_traffic(report)

    async def scaling(self) -> ScalingStatus:
        return (await self._opened()).scaling()

    async def alert(self, pools: Sequence[str], for_s: float, origin: Origin = NOWHERE) -> None:
        with acting(origin):
            (await self._opened()).alert(pools, for_s)

    async def stop(self) -> None:
        """Ends the fleet. This actor must be killed afterwards."""
        controller = await self._opened()
        await controller.stop()
        self._life.cancel()

    async def _opened(self, timeout_s: float = 10.0) -> Controller:
        try:
            async with asyncio.timeout(timeout_s):
                await self._open.wait()
        except TimeoutError:
            raise NotReady(f"the fleet's controller is not ready: {self._trouble}", retry_after_s=1.0) from None
        assert self._controller is not None
        return self._controller

    async def _live(self) -> None:
        set_origin(Origin(actor="system/controller"))
        while self._controller is None:
            try:
                self._controller = await self._open_controller()
            except Exception as error:
                # The store or Ray may be away for a while; `ready` shows the reason.
                log.exception("controller_not_open")
                self._trouble = f"{type(error).__name__}: {error}"[:300]
                await asyncio.sleep(OPEN_RETRY_S)
        self._open.set()
        await self._controller.run()

    async def _open_controller(self) -> Controller:
        config = self._config
        cluster = RayCluster(config.settings, config.runner_factory)
        stores = config.stores_factory()
        scaling, predictor = config.scaling, self._predictor()
        controller = Controller(
            cluster, stores, config.settings, config.catalogue, scaling=scaling, predictor=predictor
        )
        try:
            await controller.open()
        except BaseException:
            await stores.close()
            raise
        return controller

    def _predictor(self) -> RayForecaster | None:
        config = self._config
        if config.predictor_stores is None or not config.scaling.forecast or config.scaling.mode == "off":
            return None
        return RayForecaster(config.settings.namespace, config.predictor_stores)


POLL_S = 0.1


def start_controller(config: ControllerConfig, *, timeout_s: float = 60.0) -> None:
    """Starts the namespace's controller, or finds the running one, which keeps its own config.

    Returns once it has adopted live processes. Raises `NotReady`, and `Conflict` when it is another fleet's.
    """
    controller = (
        ray.remote(ControllerActor)
        .options(
            name=CONTROLLER,
            namespace=config.settings.namespace,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            # Callers retry themselves; their calls may be repeated.
            max_task_retries=0,
            max_concurrency=10_000,
            _labels={"ossa-fleet": config.settings.namespace},
        )
        .remote(config)
    )
    _ask(controller.ready, timeout_s, timeout_s, config.fleet_id)


def stop_fleet(namespace: str, *, timeout_s: float = 90.0) -> None:
    """Drains and ends all agents, the controller and the blocks of that namespace, and nothing else.

    The desired fleet stays in the store. Raises `NotReady` when something is left after `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    controller = _find_controller(namespace)
    if controller is not None:
        try:
            _ask(controller.stop, timeout_s)
        except (OssaError, RayError) as error:
            log.warning("fleet_stopped_by_force", extra={"reason": str(error)[:200]})
        ray.kill(controller, no_restart=True)
    with contextlib.suppress(ValueError, RayError):
        end_forecaster(namespace)
    while processes := find_processes(namespace):
        for process in processes:
            with contextlib.suppress(ValueError, RayError):
                ray.kill(process.handle, no_restart=True)
        _wait_before(end, f"{len(processes)} agents")
    while groups := find_groups(namespace):
        for group in groups:
            remove_placement_group(group)
        _wait_before(end, f"{len(groups)} blocks")
    while _find_controller(namespace) is not None:
        _wait_before(end, "the controller")


def _find_controller(namespace: str) -> Any:
    try:
        return ray.get_actor(CONTROLLER, namespace=namespace)
    except ValueError:
        return None


def _wait_before(end: float, what: str) -> None:
    if time.monotonic() > end:
        raise NotReady(f"stopping the fleet left {what} behind")
    time.sleep(POLL_S)


def _ask(method: Any, timeout_s: float, *args: Any) -> None:
    try:
        ray.get(method.remote(*args), timeout=timeout_s + 5)
    except GetTimeoutError:
        raise NotReady("the fleet's controller does not answer") from None
    except RayTaskError as error:
        if isinstance(error.cause, OssaError):
            raise error.cause from None
        raise
    except RayError as error:
        raise NotReady(f"the fleet's controller does not start: {last_line(error)}") from error
