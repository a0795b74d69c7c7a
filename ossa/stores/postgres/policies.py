"""Routing policies over PostgreSQL, of which only those that changed are read again."""

from __future__ import annotations

from ossa.contracts.routing import RoutingPolicy
from ossa.stores.json_text import as_json
from ossa.stores.postgres.connection import Reader
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.readable import readable


class PostgresPolicies:
    """Each call asks for the rows' revisions: what it returns is what the table holds, at the cost of a few bytes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sql = load_queries("policies.sql")
        self._read: dict[str, tuple[str, RoutingPolicy | None]] = {}
        """By tenant: the row's revision, and what it says; None: it cannot be read."""

    async def all(self) -> dict[str, RoutingPolicy]:
        """By tenant, without those that cannot be read. These are logged once by each replica."""
        rows = await self._reader.rows(self._sql["revisions"])
        revisions = {row["tenant"]: row["revision"] for row in rows}
        known = {tenant: kept for tenant, kept in self._read.items() if kept[0] == revisions.get(tenant)}
        changed = [tenant for tenant in revisions if tenant not in known]
        if changed:
            known.update(await self._of(changed))
        self._read = known
        return {tenant: policy for tenant, (_, policy) in sorted(known.items()) if policy is not None}

    async def save(self, tenant: str, policy: RoutingPolicy | None) -> None:
        if policy is None:
            await self._reader.execute(self._sql["remove"], {"tenant": tenant})
        else:
            await self._reader.execute(self._sql["save"], {"tenant": tenant, "policy": as_json(policy).decode()})

    async def _of(self, tenants: list[str]) -> dict[str, tuple[str, RoutingPolicy | None]]:
        rows = await self._reader.rows(self._sql["policies"], {"tenants": tenants})
        found: dict[str, tuple[str, RoutingPolicy | None]] = {row["tenant"]: (row["revision"], None) for row in rows}
        read = readable(
            rows, lambda row: RoutingPolicy.model_validate_json(row["policy"]), what="routing policy", named="tenant"
        )
        found.update({row["tenant"]: (row["revision"], policy) for row, policy in read})
        return found
