"""The controller as a detached Ray actor, restarted without limit. Its state is in the store and in live processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.configuration import FleetSettings, ScalingSettings
from ossa.contracts.errors import Conflict, NotReady
from ossa.contracts.fleet import DesiredAgent, Operation, OperationKind
from ossa.contracts.scaling import ScalingStatus, TrafficReport
from ossa.contracts.stores import DesiredStores, PredictorStores
from ossa.fleet.agent_actor import RunnerFactory
from ossa.fleet.autoscaling.forecaster import RayForecaster
from ossa.fleet.controller import Controller
from ossa.fleet.ray_cluster import RayCluster

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
    """Calls wait until the controller is open, that is, has loaded its state and adopted live processes."""

    async def __init__(self, config: ControllerConfig) -> None:  # type: ignore[misc]
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

    async def submit(self, operation_id: str, kind: OperationKind, request: dict[str, Any], tenant: str) -> Operation:
        return await (await self._opened()).submit(operation_id, kind, request, tenant)

    async def spawn_agent(self, agent: DesiredAgent) -> None:
        await (await self._opened()).spawn_agent(agent)

    async def remove_agent(self, agent_id: str, tenant: str) -> None:
        await (await self._opened()).remove_agent(agent_id, tenant)

    async def report_lost(self, agent_id: str, incarnation: str, reason: str) -> None:
        await (await self._opened()).report_lost(agent_id, incarnation, reason)

    async def report_traffic(self, report: TrafficReport) -> None:
        (await self._opened()).report_traffic(report)

    async def scaling(self) -> ScalingStatus:
        return (await self._opened()).scaling()

    async def alert(self, pools: Sequence[str], for_s: float) -> None:
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
        controller = Controller(
            cluster,
            stores,
            config.settings,
            config.catalogue,
            scaling=config.scaling,
            predictor=self._predictor(),
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
