"""The fleet's desired state and operations, samples, decisions and the scaler's state over PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.contracts.fleet import DesiredAgent, DesiredFleet, DesiredPool, Operation
from ossa.contracts.scaling import PoolSample, ScaleDecision
from ossa.stores import store_facts
from ossa.stores.checks import as_json
from ossa.stores.postgres.connection import Reader
from ossa.stores.postgres.lists import Lists
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.rows import readable
from ossa.stores.postgres.telling import told

_OPEN = ("pending", "running")


class PostgresFleet:
    """`ossa.contracts.stores.FleetStore`. Pools and agents come sorted by name, operations newest first."""

    def __init__(self, reader: Reader, lists: Lists) -> None:
        self._reader = reader
        self._lists = lists
        self._sql = load_queries("fleet.sql")

    async def load(self) -> DesiredFleet:
        row = await self._reader.row(self._sql["load"])
        if row is None:
            return DesiredFleet()
        pools = [
            DesiredPool.model_validate_json(pool).model_copy(update={"revision": revision})
            for pool, revision in zip(row["pools"], row["revisions"], strict=True)
        ]
        agents = [DesiredAgent.model_validate_json(agent) for agent in row["agents"]]
        return DesiredFleet(pools=tuple(pools), agents=tuple(agents), standby=row["standby"], phase=row["phase"])

    async def save_pool(self, pool: DesiredPool) -> DesiredPool:
        params = {"name": pool.name, "revision": pool.revision + 1, "pool": pool.model_dump_json()}
        params |= told(store_facts.of_pool(pool))
        row = await self._reader.row(self._sql["save_pool"], params)
        assert row is not None
        return pool.model_copy(update={"revision": row["revision"]})

    async def save_agent(self, agent: DesiredAgent) -> None:
        params = {"agent_id": agent.agent_id, "agent": agent.model_dump_json()}
        params |= told(store_facts.of_declared(agent))
        await self._reader.execute(self._sql["save_agent"], params)

    async def remove_agent(self, agent_id: str) -> None:
        await self._reader.execute(
            self._sql["remove_agent"], {"agent_id": agent_id, **told(store_facts.of_withdrawn(agent_id))}
        )

    async def save_standby(self, count: int) -> None:
        await self._reader.execute(self._sql["save_standby"], {"count": count, **told(store_facts.of_standby(count))})

    async def save_phase(self, phase: str) -> None:
        await self._reader.execute(self._sql["save_phase"], {"phase": phase, **told(store_facts.of_phase(phase))})

    async def secret(self, name: str, fresh: str) -> str:
        await self._reader.execute(self._sql["offer_secret"], {"name": name, "fresh": fresh})
        row = await self._reader.row(self._sql["secret"], {"name": name})
        if row is None:
            raise StoreUnavailable(f"The fleet's secret {name} could not be kept.")
        return str(row["value"])

    async def note_configuration(self, part: str, settings: Mapping[str, str], *, version: str) -> list[str]:
        row = await self._reader.row(self._sql["configuration"], {"part": part})
        before = row["settings"] if row is not None else None
        changed = store_facts.changed_settings(json.loads(before) if before is not None else None, settings)
        fact = store_facts.of_configuration(part, changed, version) if changed else None
        params = {"part": part, "settings": json.dumps(dict(sorted(settings.items()))), "before": before}
        await self._reader.execute(self._sql["save_configuration"], params | told(fact))
        return changed

    async def save_operation(self, operation: Operation) -> None:
        params = {
            "id": operation.id,
            "tenant": operation.tenant,
            "open": operation.status in _OPEN,
            "status": operation.status,
            "operation": operation.model_dump_json(),
            **told(store_facts.of_operation(operation)),
        }
        await self._reader.execute(self._sql["save_operation"], params)

    async def operation(self, operation_id: str, *, tenant: str | None = None) -> Operation:
        params = {"operation_id": operation_id, "tenant": tenant}
        row = await self._reader.row(self._sql["operation"], params, tenant=tenant)
        if row is None:
            raise NotFound(f"There is no operation {operation_id}.")
        return Operation.model_validate_json(row["operation"])

    async def operations(
        self, *, tenant: str | None = None, open_only: bool = False, limit: int = 50
    ) -> list[Operation]:
        params = {"tenant": tenant, "open_only": open_only, "limit": limit}
        # Who asks for all that are open means to carry them on.
        source = self._reader if open_only and tenant is None else self._lists
        rows = await source.rows(self._sql["operations"], params, tenant=tenant)
        return [Operation.model_validate_json(row["operation"]) for row in rows]


WRITTEN_AT_ONCE = 10_000
READ_AT_ONCE = 2_000
"""Rows of a statement. Reading a month takes seconds; between two statements the event loop does its other work."""

PRUNED_AT_ONCE = 10_000
"""Rows that one transaction removes, so that none is long and others get in between."""

_FOREVER = "infinity"
_BEFORE_EVERY_POOL = ""


class PostgresScaling:
    """`ossa.contracts.scaling.ScalingStore`. Each write may be done twice: it is tried again on a lost connection."""

    def __init__(self, reader: Reader, lists: Lists) -> None:
        self._reader = reader
        self._lists = lists
        self._sql = load_queries("scaling.sql")

    async def add_samples(self, samples: Sequence[PoolSample]) -> None:
        """Up to `WRITTEN_AT_ONCE` in one statement; more than that may be kept in part when the store goes away."""
        last = {(sample.at, sample.pool): sample for sample in samples}
        ordered = [last[key] for key in sorted(last)]  # writers that meet wait for each other, and never in a circle
        for first in range(0, len(ordered), WRITTEN_AT_ONCE):
            batch = ordered[first : first + WRITTEN_AT_ONCE]
            columns = {name: [getattr(one, name) for one in batch] for name in PoolSample.model_fields}
            await self._reader.execute(self._sql["add_samples"], columns)

    async def samples(
        self, *, since: datetime, until: datetime | None = None, pools: Sequence[str] | None = None
    ) -> list[PoolSample]:
        wanted = {"until": until or _FOREVER, "pools": None if pools is None else list(pools), "limit": READ_AT_ONCE}
        samples: list[PoolSample] = []
        after = (since, _BEFORE_EVERY_POOL)
        while True:
            params = {**wanted, "after_at": after[0], "after_pool": after[1]}
            rows = await self._lists.rows(self._sql["samples"], params)
            read = readable(rows, lambda row: PoolSample(**row), what="pool sample", named="pool")
            samples.extend(sample for _, sample in read)
            if len(rows) < READ_AT_ONCE:
                return samples
            after = (rows[-1]["at"], rows[-1]["pool"])

    async def peaks(self, *, since: datetime) -> dict[str, float]:
        rows = await self._lists.rows(self._sql["peaks"], {"since": since})
        return {str(row["pool"]): float(row["peak"]) for row in rows}

    async def prune(self, *, before: datetime) -> int:
        """Batch by batch. What a lost answer had removed is not counted."""
        return await self._prune("prune_samples", before) + await self._prune("prune_decisions", before)

    async def add_decision(self, decision: ScaleDecision) -> None:
        params = {"at": decision.at, "body": as_json(decision).decode()}
        params |= told(store_facts.of_decision(decision))
        await self._reader.execute(self._sql["add_decision"], params)

    async def decisions(self, *, limit: int = 50, before: datetime | None = None) -> list[ScaleDecision]:
        rows = await self._lists.rows(self._sql["decisions"], {"before": before or _FOREVER, "limit": limit})
        read = readable(
            rows, lambda row: ScaleDecision.model_validate_json(row["body"]), what="scale decision", named="at"
        )
        return [decision for _, decision in read]

    async def save_state(self, state: str) -> None:
        await self._reader.execute(self._sql["save_state"], {"state": state})

    async def state(self) -> str | None:
        row = await self._reader.row(self._sql["state"])
        return str(row["state"]) if row else None

    async def _prune(self, name: str, before: datetime) -> int:
        removed = 0
        while True:
            row = await self._reader.row(self._sql[name], {"before": before, "limit": PRUNED_AT_ONCE})
            gone = int(row["gone"]) if row else 0
            removed += gone
            if gone < PRUNED_AT_ONCE:
                return removed
