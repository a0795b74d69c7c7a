"""The fleet in numbers, for an agent's `fleet_status` tool. Runs in agents' processes, so it imports little."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from ossa.contracts.errors import ToolFailed
from ossa.contracts.fleet import FleetSnapshot
from ossa.fleet.naming import CONTROLLER

TIMEOUT_S = 5.0


@dataclass(frozen=True)
class FleetStatusReader:
    """Asks the namespace's controller. Returns counts of pools, and nothing about single tenants."""

    namespace: str

    async def __call__(self) -> Mapping[str, Any]:
        try:
            controller: Any = await asyncio.to_thread(ray.get_actor, CONTROLLER, self.namespace)
            encoded = await asyncio.wait_for(controller.snapshot.remote(-1, 1.0), TIMEOUT_S)
        except (ValueError, TimeoutError, ray.exceptions.RayError) as error:
            raise ToolFailed("the fleet's controller does not answer") from error
        if encoded is None:
            raise ToolFailed("the fleet's controller has no snapshot yet")
        snapshot = FleetSnapshot.model_validate_json(encoded)
        pools = {
            pool.name: {"desired": pool.desired, "ready": pool.ready, "starting": pool.starting}
            for pool in snapshot.pools
        }
        return {"pools": pools, "standby": snapshot.standby}
