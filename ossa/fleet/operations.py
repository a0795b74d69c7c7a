"""Operations: what a request asks for, how far it is, and how it is followed to its end.

Planning and judging are pure; `OperationLog` writes down.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.errors import Conflict, InvalidRequest, NotFound, OssaError, TimedOut
from ossa.contracts.fleet import (
    POOL_ALIASES,
    POOL_WEIGHTS,
    POOLS,
    DesiredFleet,
    DesiredPool,
    Operation,
    OperationKind,
)
from ossa.contracts.origin import acting
from ossa.contracts.stores import FleetStore
from ossa.contracts.task import ErrorInfo
from ossa.contracts.value import Value
from ossa.fleet.snapshot import leftover, ready_fresh
from ossa.fleet.state import ProcessState, ProcessView

log = logging.getLogger(__name__)


def ratio(target: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Split `target` by weight (largest remainder), at least one a pool.

    The parts sum to `target`. Raises `ValueError` when there are fewer agents than pools.
    """
    if target < len(weights):
        raise ValueError(f"{target} agents cannot fill {len(weights)} pools")
    spare = target - len(weights)
    total = sum(weights.values())
    # What a pool is owed beyond its first agent; never less than nothing.
    owed = {pool: max(0.0, target * weight / total - 1) for pool, weight in weights.items()}
    scale = spare / sum(owed.values()) if spare else 0.0
    exact = {pool: share * scale for pool, share in owed.items()}
    parts = {pool: 1 + int(share) for pool, share in exact.items()}
    left = target - sum(parts.values())
    by_remainder = sorted(exact, key=lambda pool: exact[pool] - int(exact[pool]), reverse=True)
    for pool in by_remainder[:left]:
        parts[pool] += 1
    return parts


PHASES = ("phase4-enterprise-analytics",)
MAX_AGENTS = 10_000
_SCALE_TARGET = re.compile(r"^([0-9]{1,5})-agents?(-[a-z0-9-]+)?$")

Catalogue = Mapping[str, tuple[AgentSpec, ...]]
"""Manifests by pool, for pools that were given none."""


class Plan(Value):
    """A change of the desired fleet: whole pools, the phase, or one agent's process."""

    pools: tuple[DesiredPool, ...] = ()
    phase: str | None = None
    drain: str | None = None


def plan_operation(
    kind: OperationKind, request: Mapping[str, Any], desired: DesiredFleet, catalogue: Catalogue
) -> Plan:
    """Turns a request into a plan. Raises `InvalidRequest` that names the field."""
    match kind:
        case "deploy-phase":
            phase = _text(request, "phase")
            if phase not in PHASES:
                raise InvalidRequest(f"phase {phase!r} is not known; one of: {', '.join(PHASES)}", param="phase")
            target = _count(request, "target_agents", least=len(POOLS))
            return Plan(pools=_sized(ratio(target, POOL_WEIGHTS), desired, catalogue), phase=phase)
        case "scale-to-phase4":
            _count(request, "kubernetes_nodes", least=1)
            target = _scale_target(request)
            return Plan(pools=_sized(ratio(target, POOL_WEIGHTS), desired, catalogue), phase=PHASES[0])
        case "spawn-pool":
            pool = pool_name(_text(request, "pool_type"), desired, param="pool_type")
            return Plan(pools=_sized({pool: _count(request, "agent_count", least=0)}, desired, catalogue))
        case "apply":
            pool = pool_name(_text(request, "pool"), desired, param="pool")
            return Plan(pools=(_applied(_pool(pool, desired, catalogue), _spec(request)),))
        case "drain":
            return Plan(drain=_text(request, "agent_id"))


def pool_name(given: str, desired: DesiredFleet, *, param: str) -> str:
    """Returns the pool's own name for a name or an alias. Raises `InvalidRequest`."""
    name = POOL_ALIASES.get(given, given)
    known = dict.fromkeys((*POOLS, *(pool.name for pool in desired.pools)))
    if name not in known:
        raise InvalidRequest(f"pool {given!r} is not known; one of: {', '.join(known)}", param=param)
    return name


def pools_ready(ready: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Returns an operation's progress."""
    return {pool: {"ready": ready.get(pool, 0), "wanted": count} for pool, count in wanted.items()}


def _sized(sizes: Mapping[str, int], desired: DesiredFleet, catalogue: Catalogue) -> tuple[DesiredPool, ...]:
    return tuple(_pool(pool, desired, catalogue).model_copy(update={"size": size}) for pool, size in sizes.items())


def _pool(name: str, desired: DesiredFleet, catalogue: Catalogue) -> DesiredPool:
    known = next((pool for pool in desired.pools if pool.name == name), None)
    if known is None:
        return DesiredPool(name=name, size=0, manifests=catalogue.get(name, ()))
    if not known.manifests:
        return known.model_copy(update={"manifests": catalogue.get(name, ())})
    return known


def _applied(pool: DesiredPool, spec: AgentSpec) -> DesiredPool:
    """Replaces the manifest of the same name in place, or adds a new one with an agent that runs it.

    In a pool with fewer agents than manifests the new one follows those that have an agent, and the pool grows by one.
    """
    if any(known.name == spec.name for known in pool.manifests):
        manifests = tuple(spec if known.name == spec.name else known for known in pool.manifests)
        return pool.model_copy(update={"manifests": manifests})
    served = min(pool.size, len(pool.manifests))
    manifests = (*pool.manifests[:served], spec, *pool.manifests[served:])
    return pool.model_copy(update={"manifests": manifests, "size": max(pool.size, served + 1)})


def _text(request: Mapping[str, Any], field: str) -> str:
    value = request.get(field)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{field} must be a non-empty string", param=field)
    return value


def _count(request: Mapping[str, Any], field: str, *, least: int) -> int:
    value = request.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_AGENTS:
        raise InvalidRequest(f"{field} must be a whole number from {least} to {MAX_AGENTS}", param=field)
    return value


def _scale_target(request: Mapping[str, Any]) -> int:
    match = _SCALE_TARGET.match(_text(request, "target"))
    if match is None or not len(POOLS) <= int(match[1]) <= MAX_AGENTS:
        raise InvalidRequest(
            f"target must read like '200-agent-enterprise', from {len(POOLS)} to {MAX_AGENTS} agents", param="target"
        )
    return int(match[1])


def _spec(request: Mapping[str, Any]) -> AgentSpec:
    try:
        return AgentSpec.model_validate(request.get("manifest"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["manifest", *(str(part) for part in first["loc"])])
        raise InvalidRequest(f"{where}: {first['msg']}", param=where) from None


class OperationLog:
    """Writes operations down and follows them to their end.

    Args:
        patience_s: an operation without progress for so long has failed.
        now: wall-clock seconds.
    """

    def __init__(self, store: FleetStore, patience_s: float, now: Callable[[], float]) -> None:
        self._store = store
        self._patience_s = patience_s
        self._now = now
        self._moved_at: dict[str, float] = {}
        self.open: dict[str, Operation] = {}

    async def load(self) -> None:
        """Loads the operations that an earlier controller left open."""
        for operation in await self._store.operations(open_only=True, limit=1000):
            self._keep(operation)

    async def find(self, operation_id: str) -> Operation | None:
        try:
            return self.open.get(operation_id) or await self._store.operation(operation_id)
        except NotFound:
            return None

    async def write(self, operation: Operation) -> None:
        """Saves the operation; it is durable when this returns."""
        await self._store.save_operation(operation)
        self._keep(operation)

    async def follow(self, desired: DesiredFleet, processes: Sequence[ProcessView], pending: Mapping[str, str]) -> None:
        """Writes down the progress of each open operation. `pending` says why pools are not up."""
        for operation in tuple(self.open.values()):
            if operation.status != "running":
                continue
            stalled = self._now() - self._moved_at[operation.id] > self._patience_s
            update = judge(operation, desired, processes, pending, stalled=stalled)
            if update:
                with acting(operation.origin):
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
    """Returns the fields of the operation that change; empty if none does."""
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
