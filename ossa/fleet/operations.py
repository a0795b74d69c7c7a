"""What an operation asks for, and how far it is. Pure: the controller writes it down and carries it out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.fleet import (
    POOL_ALIASES,
    POOL_WEIGHTS,
    POOLS,
    DesiredFleet,
    DesiredPool,
    OperationKind,
)
from ossa.contracts.value import Value
from ossa.fleet.shares import ratio

PHASES = ("phase4-enterprise-analytics",)
MAX_AGENTS = 10_000
_SCALE_TARGET = re.compile(r"^([0-9]{1,5})-agents?(-[a-z0-9-]+)?$")

Catalogue = Mapping[str, tuple[AgentSpec, ...]]
"""Manifests a pool starts with when nobody gave it any."""


class Plan(Value):
    """What changes in the desired fleet: these pools whole, the phase, or one agent's process."""

    pools: tuple[DesiredPool, ...] = ()
    phase: str | None = None
    drain: str | None = None


def plan_operation(
    kind: OperationKind, request: Mapping[str, Any], desired: DesiredFleet, catalogue: Catalogue
) -> Plan:
    """Raises `InvalidRequest` that names the field."""
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
    """The pool by its own name or an alias. Raises `InvalidRequest`."""
    name = POOL_ALIASES.get(given, given)
    known = dict.fromkeys((*POOLS, *(pool.name for pool in desired.pools)))
    if name not in known:
        raise InvalidRequest(f"pool {given!r} is not known; one of: {', '.join(known)}", param=param)
    return name


def pools_ready(ready: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """An operation's progress."""
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
    """A manifest of the same name is replaced where it stands; a new one is added, with an agent that runs it.

    In a pool with fewer agents than manifests it comes behind those that have an agent, and the pool grows by one.
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
