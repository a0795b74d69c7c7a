"""What one tenant's acts can see and write, whatever a query of ours forgets to say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ossa.contracts.access import ApiKey, Scope
from ossa.contracts.configuration import Database
from ossa.contracts.errors import OssaError
from ossa.contracts.fleet import Operation
from ossa.contracts.memory import Grant
from ossa.contracts.routing import Feedback, RoutingPolicy
from ossa.stores.postgres import PostgresStores
from ossa.stores.postgres.connection import Reader, Server
from ossa.stores.postgres.migrations import Migration, load_migrations
from ossa.stores.postgres.schema import migrate

pytestmark = pytest.mark.asyncio

NOW = datetime.now(UTC)


@pytest.fixture(params=("embedded", "debian"))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def reader(dsn: str, stores: PostgresStores) -> AsyncIterator[Reader]:
    """As the stores have it. `stores` brought the schema up."""
    reader = Reader(Server(dsn, Database()), 2)
    yield reader
    await reader.close()


@pytest.fixture
async def filled(stores: PostgresStores, made: Any) -> PostgresStores:
    for tenant in ("acme", "rival"):
        await stores.journal.accept(made.task(tenant, key="k"), owner=None)
        ended = made.task(tenant)
        await stores.journal.accept(ended, owner="me")
        await stores.journal.finish(ended.id, fence=1, outcome=made.outcome(), steps=[made.step(0)])
        await stores.routing.rate(Feedback(task_id=ended.id, tenant=tenant, rating=1, at=NOW))
        await stores.routing.save_policy(tenant, RoutingPolicy())
        await stores.originals.put("h", "text", tenant=tenant, expires_at=NOW + timedelta(days=1))
        await stores.memory.grant(Grant(tenant=tenant, to="third", kinds=("fact",), granted_at=NOW))
        key = ApiKey(id=f"key_{tenant}", tenant=tenant, name="n", scopes=(Scope.CHAT,), prefix="p", created_at=NOW)
        await stores.keys.add(key, secret_sha256=tenant.encode())
        operation = Operation(
            id=f"op_{tenant}", kind="drain", tenant=tenant, status="pending", created_at=NOW, updated_at=NOW
        )
        await stores.fleet.save_operation(operation)
    return stores


def catalogue(dsn: str) -> dict[str, str]:
    """Tables by what their rows belong to: a tenant, a task of one, or nobody; and the parts of a table."""
    query = """
        SELECT c.relname, CASE
            WHEN c.relispartition THEN 'part'
            WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant') THEN 'tenant'
            WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'task_id') THEN 'task'
            ELSE 'nobody' END
        FROM pg_class c WHERE c.relnamespace = 'ossa'::regnamespace AND c.relkind IN ('r', 'p')
    """
    with psycopg.connect(dsn) as conn:
        return dict(conn.execute(query).fetchall())


def count(dsn: str, table: str, where: str = "true") -> int:
    with psycopg.connect(dsn) as conn:
        found = conn.execute(f"SELECT count(*) FROM ossa.{table} WHERE {where}").fetchone()  # type: ignore[arg-type]
    assert found is not None
    return int(found[0])


async def test_a_query_that_forgets_its_where_sees_rows_of_its_tenant_alone(
    dsn: str, filled: PostgresStores, reader: Reader
) -> None:
    tables = [name for name, belongs in catalogue(dsn).items() if belongs == "tenant"]
    assert {"tasks", "open_tasks", "outcomes", "feedback", "api_keys", "operations", "memory_items"} <= set(tables)
    written = 0
    for table in tables:
        rows = await reader.rows(f"SELECT * FROM ossa.{table}", tenant="acme")  # type: ignore[arg-type]
        assert {row["tenant"] for row in rows} <= {"acme"}, table
        assert len(rows) == count(dsn, table, "tenant = 'acme'"), table
        assert await reader.rows(f"SELECT * FROM ossa.{table}", tenant="") == [], table  # type: ignore[arg-type]
        written += count(dsn, table, "tenant = 'rival'")
    assert written >= 9, "there was something to leak"


async def test_steps_are_seen_with_their_task(dsn: str, filled: PostgresStores, reader: Reader) -> None:
    assert [name for name, belongs in catalogue(dsn).items() if belongs == "task"] == ["steps"]
    assert len(await reader.rows("SELECT * FROM ossa.steps", tenant="acme")) == 1
    assert await reader.rows("SELECT * FROM ossa.steps", tenant="nobody") == []
    assert count(dsn, "steps") == 2


async def test_what_belongs_to_no_tenant_and_parts_of_tables_are_refused(dsn: str, reader: Reader) -> None:
    refused = [name for name, belongs in catalogue(dsn).items() if belongs in ("nobody", "part")]
    assert {"secrets", "agents", "dispatchers", "steps_default", "outcomes_before"} <= set(refused)
    for table in refused:
        with pytest.raises(OssaError, match="permission denied"):
            await reader.rows(f"SELECT * FROM ossa.{table}", tenant="acme")  # type: ignore[arg-type]


async def test_a_tenants_act_writes_nothing_of_another_one(dsn: str, filled: PostgresStores, reader: Reader) -> None:
    with pytest.raises(OssaError, match="row-level security"):
        await reader.execute(
            "INSERT INTO ossa.originals (tenant, handle, content, expires_at) VALUES ('rival', 'x', '', now())",
            tenant="acme",
        )
    await reader.execute("DELETE FROM ossa.feedback", tenant="acme")
    await reader.execute("UPDATE ossa.api_keys SET revoked_at = now()", tenant="acme")
    assert count(dsn, "feedback") == 1
    assert count(dsn, "api_keys", "revoked_at IS NOT NULL") == 1
    for statement in ("DELETE FROM ossa.tasks", "DELETE FROM ossa.steps", "UPDATE ossa.outcomes SET status = 'failed'"):
        with pytest.raises(OssaError, match="permission denied"):
            await reader.execute(statement, tenant="acme")


async def test_nothing_of_a_tenants_act_is_left_on_the_connection(dsn: str, stores: PostgresStores) -> None:
    reader = Reader(Server(dsn, Database()), 1)
    whoami = "SELECT current_user AS role, coalesce(current_setting('ossa.tenant', true), '') AS tenant"
    before = await reader.row(whoami)
    assert await reader.row(whoami, tenant="acme") == {"role": "ossa_tenant", "tenant": "acme"}
    assert await reader.row(whoami) == before
    with pytest.raises(OssaError, match="division"):
        await reader.row("SELECT 1 / 0", tenant="acme")
    assert await reader.row(whoami) == before
    assert before is not None and before["tenant"] == "" and before["role"] != "ossa_tenant"
    await reader.close()


async def test_the_stores_own_reads_of_a_tenant_run_where_the_policies_hold(filled: PostgresStores, dsn: str) -> None:
    """The promise of the contract, with the WHEREs taken away: the table's owner alone could see more."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("REVOKE SELECT ON ossa.tasks FROM ossa_tenant")
        try:
            with pytest.raises(OssaError, match="permission denied"):
                await filled.journal.tasks(tenant="acme")
            with pytest.raises(OssaError, match="permission denied"):
                await filled.spending.newest(limit=5, tenant="acme")
        finally:
            conn.execute("GRANT SELECT ON ossa.tasks TO ossa_tenant")
    assert len(await filled.journal.tasks(tenant="acme")) == 2


async def test_a_table_that_a_later_version_brings_is_guarded_without_a_word(dsn: str, reader: Reader) -> None:
    known = load_migrations()
    made = "CREATE TABLE ossa.later (tenant text, said text); INSERT INTO ossa.later VALUES ('rival', 'secret')"
    with psycopg.connect(dsn, autocommit=True) as conn:
        try:
            await migrate(Server(dsn, Database()), [*known, Migration(len(known) + 1, "later", made)])
            assert await reader.rows("SELECT * FROM ossa.later", tenant="acme") == []
            assert len(await reader.rows("SELECT * FROM ossa.later", tenant="rival")) == 1
        finally:
            conn.execute("DROP TABLE IF EXISTS ossa.later")
            conn.execute("DELETE FROM ossa.migrations WHERE version = %s", (len(known) + 1,))
