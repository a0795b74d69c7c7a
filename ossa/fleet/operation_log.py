"""Open operations: written down, followed to their end, resumed after a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ossa.contracts.errors import Conflict, NotFound, OssaError, TimedOut
from ossa.contracts.fleet import DesiredFleet, Operation
from ossa.contracts.stores import FleetStore
from ossa.contracts.task import ErrorInfo
from ossa.fleet.operations import pools_ready
from ossa.fleet.status import leftover, ready_fresh
from ossa.fleet.view import ProcessState, ProcessView

log = logging.getLogger(__name__)


class OperationLog:
    """Args:
    patience_s: an operation that makes no progress for so long has failed.
    now: wall-clock seconds.
    """

    def __init__(self, store: FleetStore, patience_s: float, now: Callable[[], float]) -> None:
        self._store = store
        self._patience_s = patience_s
        self._now = now
        self._moved_at: dict[str, float] = {}
        self.open: dict[str, Operation] = {}

    async def load(self) -> None:
        """Operations that a controller before this one left open."""
        for operation in await self._store.operations(open_only=True, limit=1000):
            self._keep(operation)

    async def known(self, operation_id: str) -> Operation | None:
        try:
            return self.open.get(operation_id) or await self._store.operation(operation_id)
        except NotFound:
            return None

    async def write(self, operation: Operation) -> None:
        """Durable when this returns."""
        await self._store.save_operation(operation)
        self._keep(operation)

    async def follow(self, desired: DesiredFleet, processes: Sequence[ProcessView], pending: Mapping[str, str]) -> None:
        """Write down how far each open operation is. `pending` says why pools are not up."""
        for operation in tuple(self.open.values()):
            if operation.status != "running":
                continue
            stalled = self._now() - self._moved_at[operation.id] > self._patience_s
            update = judge(operation, desired, processes, pending, stalled=stalled)
            if update:
                await self.write(operation.model_copy(update={**update, "updated_at": self._time()}))

    def _keep(self, operation: Operation) -> None:
        if operation.status in ("pending", "running"):
            self.open[operation.id] = operation
            self._moved_at[operation.id] = self._now()
        else:
            self.open.pop(operation.id, None)
            self._moved_at.pop(operation.id, None)
            log.info("operation_ended", extra={"operation": operation.id, "status": operation.status})

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


def judge(
    operation: Operation,
    desired: DesiredFleet,
    processes: Sequence[ProcessView],
    pending: Mapping[str, str],
    *,
    stalled: bool,
) -> dict[str, Any]:
    """The fields of the operation that change; empty for none."""
    if operation.kind == "drain":
        return _judge_drain(operation, processes, stalled=stalled)
    wanted = {pool: counts["wanted"] for pool, counts in operation.progress.items()}
    sizes = {pool.name: pool.size for pool in desired.pools}
    if any(sizes.get(pool) != count for pool, count in wanted.items()):
        return _failed(Conflict("a later operation changed the size of the same pool"))
    progress = pools_ready(ready_fresh(desired, processes), wanted)
    left = leftover(desired, processes)
    if all(counts["ready"] >= counts["wanted"] and not left[pool] for pool, counts in progress.items()):
        return {"status": "succeeded", "progress": progress}
    if stalled:
        reasons = "; ".join(f"{pool}: {pending[pool]}" for pool in wanted if pending.get(pool))
        return {**_failed(TimedOut(f"the fleet makes no progress. {reasons}".strip())), "progress": progress}
    return {"progress": progress} if progress != operation.progress else {}


def _judge_drain(operation: Operation, processes: Sequence[ProcessView], *, stalled: bool) -> dict[str, Any]:
    agent_id, incarnation = operation.progress["agent_id"], operation.progress["incarnation"]
    holders = [process for process in processes if process.agent_id == agent_id]
    gone = all(process.incarnation != incarnation for process in processes)
    if gone and any(process.state is ProcessState.READY for process in holders):
        return {"status": "succeeded"}
    return _failed(TimedOut(f"{agent_id} is not replaced yet")) if stalled else {}


def _failed(error: OssaError) -> dict[str, Any]:
    return {"status": "failed", "error": ErrorInfo(code=error.code, message=error.message)}
