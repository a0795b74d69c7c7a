"""`FleetPort` over the controller actor. For Serve replicas, jobs and the command."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from ossa.contracts.errors import NotReady, OssaError
from ossa.contracts.fleet import DesiredAgent, FleetSnapshot, Operation, OperationKind
from ossa.contracts.origin import current_origin
from ossa.contracts.scaling import ScalingStatus, TrafficReport
from ossa.fleet.naming import CONTROLLER

log = logging.getLogger(__name__)

LONG_POLL_S = 20.0
CALL_TIMEOUT_S = 10.0
RETRY_PAUSE_S = 0.1


class FleetClient:
    """Follows the fleet in the background, through restarts of the controller.

    The latest snapshot is available between `start` and `close`. Calls are retried while the controller restarts, for
    `patience_s` at most, then raise `NotReady`.
    """

    def __init__(self, namespace: str, *, patience_s: float = 30.0) -> None:
        self._namespace = namespace
        self._patience_s = patience_s
        self._controller: Any = None
        self._snapshot: FleetSnapshot | None = None
        self._changed = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None

    async def start(self, timeout_s: float = 30.0) -> None:
        """Returns once there is a first snapshot. Raises `NotReady`."""
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        await self.wait_until(lambda _: True, timeout_s)

    async def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller
            self._poller = None

    def snapshot(self) -> FleetSnapshot:
        if self._snapshot is None:
            raise NotReady("the fleet's controller has not been reached yet", retry_after_s=1.0)
        return self._snapshot

    async def wait_until(self, holds: Callable[[FleetSnapshot], bool], timeout_s: float) -> FleetSnapshot:
        """Returns the first snapshot from now on for which `holds` is true. Raises `NotReady` after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    changed = self._changed
                    if self._snapshot is not None and holds(self._snapshot):
                        return self._snapshot
                    await changed.wait()
        except TimeoutError:
            raise NotReady(f"the fleet did not get there in {timeout_s:g} s", retry_after_s=1.0) from None

    async def submit(self, kind: OperationKind, request: dict[str, Any], *, tenant: str) -> Operation:
        # The id is made here, so that a retried call means the same operation.
        operation_id = f"op_{int(time.time() * 1000):012x}{secrets.token_hex(10)}"
        operation: Operation = await self._ask("submit", operation_id, kind, request, tenant, current_origin())
        return operation

    async def spawn_agent(self, agent: DesiredAgent) -> None:
        await self._ask("spawn_agent", agent, current_origin())

    async def remove_agent(self, agent_id: str, *, tenant: str) -> None:
        await self._ask("remove_agent", agent_id, tenant, current_origin())

    async def report_lost(self, agent_id: str, incarnation: str, reason: str) -> None:
        await self._ask("report_lost", agent_id, incarnation, reason, current_origin())

    async def report_traffic(self, report: TrafficReport) -> None:
        await self._call(CALL_TIMEOUT_S, "report_traffic", report)

    async def scaling(self) -> ScalingStatus:
        status: ScalingStatus = await self._ask("scaling")
        return status

    async def alert(self, pools: Sequence[str], *, for_s: float) -> None:
        await self._ask("alert", list(pools), for_s, current_origin())

    async def _ask(self, method: str, *args: Any) -> Any:
        end = time.monotonic() + self._patience_s
        while True:
            try:
                return await self._call(CALL_TIMEOUT_S, method, *args)
            except NotReady:
                if time.monotonic() > end:
                    raise
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _call(self, timeout_s: float, method: str, *args: Any) -> Any:
        """Calls once. Raises what the controller raised, and `NotReady` when it cannot be reached."""
        try:
            if self._controller is None:
                self._controller = await asyncio.wait_for(asyncio.to_thread(self._find), timeout_s)
            return await asyncio.wait_for(getattr(self._controller, method).remote(*args), timeout_s)
        except RayTaskError as error:
            if isinstance(error.cause, OssaError):
                raise error.cause from None
            raise
        except (RayError, TimeoutError, ValueError) as error:
            # A controller that was stopped and started again is another actor of the same name.
            self._controller = None
            raise NotReady(
                f"the fleet's controller does not answer: {type(error).__name__}", retry_after_s=1.0
            ) from error

    def _find(self) -> Any:
        return ray.get_actor(CONTROLLER, namespace=self._namespace)

    async def _poll(self) -> None:
        version = -1
        while True:
            try:
                encoded = await self._call(LONG_POLL_S + CALL_TIMEOUT_S, "snapshot", version, LONG_POLL_S)
                if encoded is not None:
                    self._snapshot = FleetSnapshot.model_validate_json(encoded)
                    version = self._snapshot.version
                    self._changed.set()
                    self._changed = asyncio.Event()
            except NotReady as error:
                log.info("controller_out_of_reach", extra={"reason": str(error)})
                await asyncio.sleep(RETRY_PAUSE_S)
            except Exception:
                log.exception("fleet_poll_failed")
                await asyncio.sleep(1.0)
