"""Policies, feedback and router models over PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ossa.contracts.errors import Conflict, InvalidRequest, NotFound
from ossa.contracts.routing import Example, Feedback, ModelKind, ModelRecord, Route, RoutingPolicy
from ossa.contracts.task import Outcome, Step
from ossa.stores import store_facts
from ossa.stores.checks import as_json
from ossa.stores.examples import example_of
from ossa.stores.postgres.connection import Reader, Row
from ossa.stores.postgres.lists import Lists
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.rows import readable
from ossa.stores.postgres.telling import tell, told


class PostgresPolicies:
    """Each call asks for the rows' revisions: what it returns is what the table holds, at the cost of a few bytes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sql = load_queries("policies.sql")
        self._read: dict[str, tuple[str, RoutingPolicy | None]] = {}
        """Tenant to the row's revision and its policy; None: it cannot be read."""

    async def all(self) -> dict[str, RoutingPolicy]:
        """Returns policies by tenant. Those that cannot be read are left out and logged once by each replica."""
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
            params = {"tenant": tenant, **told(store_facts.of_removed_policy(tenant))}
            await self._reader.execute(self._sql["remove"], params)
        else:
            params = {"tenant": tenant, "policy": as_json(policy).decode()}
            await self._reader.execute(self._sql["save"], params | told(store_facts.of_policy(tenant, policy)))

    async def _of(self, tenants: list[str]) -> dict[str, tuple[str, RoutingPolicy | None]]:
        rows = await self._reader.rows(self._sql["policies"], {"tenants": tenants})
        policies: dict[str, tuple[str, RoutingPolicy | None]] = {row["tenant"]: (row["revision"], None) for row in rows}
        read = readable(
            rows, lambda row: RoutingPolicy.model_validate_json(row["policy"]), what="routing policy", named="tenant"
        )
        policies.update({row["tenant"]: (row["revision"], policy) for row, policy in read})
        return policies


BATCH = 64
"""Tasks whose JSON is held at a time: a request may have a megabyte."""

_IDS = 10_000
"""Ids that are asked for at a time."""


class PostgresRouting:
    """`ossa.contracts.routing.RoutingStore`. Each write may be done twice: it is tried again on a lost connection."""

    def __init__(self, reader: Reader, lists: Lists) -> None:
        self._reader = reader
        self._lists = lists
        self._sql = load_queries("routing.sql")
        self._policies = PostgresPolicies(reader)

    async def policies(self) -> dict[str, RoutingPolicy]:
        return await self._policies.all()

    async def save_policy(self, tenant: str, policy: RoutingPolicy | None) -> None:
        await self._policies.save(tenant, policy)

    async def rate(self, feedback: Feedback) -> None:
        params = {
            "task_id": feedback.task_id,
            "tenant": feedback.tenant,
            "at": feedback.at,
            "body": as_json(feedback).decode(),
            **told(store_facts.of_feedback(feedback)),
        }
        if await self._reader.row(self._sql["rate"], params, tenant=feedback.tenant):
            return
        row = await self._reader.row(self._sql["is_task"], params, tenant=feedback.tenant)
        if row and row["known"]:
            raise Conflict(f"{feedback.task_id} has not ended yet; rate it afterwards.", retry_after_s=1.0)
        raise NotFound(f"There is no task {feedback.task_id}.")

    async def feedback(self, task_id: str, *, tenant: str) -> Feedback | None:
        row = await self._reader.row(self._sql["feedback"], {"task_id": task_id, "tenant": tenant}, tenant=tenant)
        return Feedback.model_validate_json(row["body"]) if row else None

    async def examples(self, *, since: datetime, limit: int, tenant: str | None = None) -> list[Example]:
        made: list[Example] = []
        last: Row = {"finished_at": None, "task_id": ""}
        while len(made) < limit:
            params = {"since": since, "tenant": tenant, "last_at": last["finished_at"], "last_id": last["task_id"]}
            ended = await self._lists.rows(self._sql["ended"], {**params, "limit": min(limit, _IDS)})
            if not ended:
                break
            last = ended[-1]
            made.extend(await self._examples([row["task_id"] for row in ended]))
        return made[:limit]

    async def rated(self, *, since: datetime, limit: int) -> list[Example]:
        rows = await self._lists.rows(self._sql["rated"], {"since": since, "limit": limit})
        return await self._examples([row["task_id"] for row in rows])

    async def add_model(self, kind: ModelKind, content: bytes, *, card: dict[str, Any], digest: str) -> ModelRecord:
        try:
            text = orjson.dumps(card).decode()
        except TypeError as error:
            raise InvalidRequest("A model's card holds a value that is not JSON.") from error
        params = {"kind": kind, "content": content, "card": text, "digest": digest}
        await self._reader.run(partial(self._add, params))
        row = await self._reader.row(self._sql["model_of_digest"], {"kind": kind, "digest": digest})
        assert row is not None, "models are never removed"
        return ModelRecord(**row)

    async def models(self, *, kind: ModelKind | None = None) -> Sequence[ModelRecord]:
        return _records(await self._reader.rows(self._sql["models"], {"kind": kind}))

    async def live(self) -> Sequence[ModelRecord]:
        return _records(await self._reader.rows(self._sql["live"]))

    async def model_file(self, kind: ModelKind, version: int) -> bytes:
        row = await self._reader.row(self._sql["model_file"], {"kind": kind, "version": version})
        if row is None:
            raise _unknown(kind, version)
        return bytes(row["content"])

    async def promote(self, kind: ModelKind, version: int) -> ModelRecord:
        params = {"kind": kind, "version": version}
        if await self._reader.row(self._sql["model"], params) is None:
            raise _unknown(kind, version)
        await self._reader.run(partial(self._promote, {**params, "name": secrets.token_hex(8)}))
        row = await self._reader.row(self._sql["model"], params)
        assert row is not None, "models are never removed"
        return ModelRecord(**row)

    async def roll_back(self, kind: ModelKind) -> ModelRecord | None:
        # The live one is named, so that a second try does not roll back once more.
        live = await self._live(kind)
        if live is not None:
            await self._reader.run(
                partial(self._demote, {"kind": kind, "version": live.version, "name": secrets.token_hex(8)})
            )
        return await self._live(kind)

    async def _examples(self, ids: list[str]) -> list[Example]:
        """In the order of `ids`."""
        made: list[Example] = []
        for first in range(0, len(ids), BATCH):
            rows = await self._lists.rows(self._sql["examples"], {"ids": ids[first : first + BATCH]})
            read = readable(rows, _example, what="example", named="task_id")
            made.extend(example for _, example in read if example)
        return made

    async def _live(self, kind: ModelKind) -> ModelRecord | None:
        row = await self._reader.row(self._sql["live_of_kind"], {"kind": kind})
        return ModelRecord(**row) if row else None

    async def _add(self, params: dict[str, Any], conn: AsyncConnection[DictRow]) -> None:
        async with conn.transaction():
            await conn.execute(self._sql["lock_models"])
            version = await self._version("add_model", params, conn)
            if version is not None:
                await tell(conn, store_facts.of_added_model(params["kind"], version, params["digest"]))

    async def _promote(self, params: dict[str, Any], conn: AsyncConnection[DictRow]) -> None:
        async with conn.transaction():
            await conn.execute(self._sql["lock_models"])
            before = await self._version("retire", params, conn)
            version = await self._version("make_live", params, conn)
            if version is not None:
                await tell(conn, store_facts.of_promotion(params["kind"], version, before, name=params["name"]))

    async def _demote(self, params: dict[str, Any], conn: AsyncConnection[DictRow]) -> None:
        async with conn.transaction():
            await conn.execute(self._sql["lock_models"])
            version = await self._version("demote", params, conn)
            if version is not None:
                after = await self._version("restore", params, conn)
                await tell(conn, store_facts.of_roll_back(params["kind"], version, after, name=params["name"]))

    async def _version(self, name: str, params: dict[str, Any], conn: AsyncConnection[DictRow]) -> int | None:
        """The version of the model that a statement changed."""
        row = await (await conn.execute(self._sql[name], params)).fetchone()
        return int(row["version"]) if row is not None else None


def _records(rows: Sequence[Row]) -> list[ModelRecord]:
    return [record for _, record in readable(rows, lambda row: ModelRecord(**row), what="router model", named="kind")]


def _example(row: Row) -> Example | None:
    kept = dict(row)
    route, feedback = kept.pop("route"), kept.pop("feedback")
    return example_of(
        **{**kept, "outcome": Outcome.model_validate_json(row["outcome"])},
        route=Route.model_validate(Step.model_validate_json(route).payload) if route else None,
        feedback=Feedback.model_validate_json(feedback) if feedback else None,
    )


def _unknown(kind: ModelKind, version: int) -> NotFound:
    return NotFound(f"There is no router model {kind} {version}.")
