"""Who may do what in a database, as `ossa database roles` makes it. Over a real server, with users of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from ossa.app.connections import check_database, make_database_roles, migrate_database
from ossa.cli import application
from ossa.contracts.configuration import Database
from ossa.contracts.errors import OssaError, StoreUnavailable
from ossa.contracts.events import Event, LogPage
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus
from ossa.stores.postgres import PostgresStores
from ossa.stores.postgres.connection import Reader, Server
from ossa.stores.postgres.migrations import load_migrations
from ossa.stores.postgres.schema import migrate
from scripts.services import Address

SETTINGS = Database()
PASSWORD = "of-a-test"

LOGINS = f"""
CREATE ROLE gateway LOGIN PASSWORD '{PASSWORD}' IN ROLE ossa_app;
CREATE ROLE deployer LOGIN PASSWORD '{PASSWORD}' IN ROLE ossa_owner;
CREATE ROLE analyst LOGIN PASSWORD '{PASSWORD}' IN ROLE ossa_reader;
"""


@pytest.fixture
def admin(debian: Address) -> str:
    """An empty database, and no roles of ours."""
    dsn = debian.admin or ""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DROP SCHEMA IF EXISTS ossa CASCADE")
        for role in ("gateway", "deployer", "analyst", "ossa_app", "ossa_reader", "ossa_tenant", "ossa_owner"):
            if conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None:
                conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
    return dsn


@pytest.fixture
def as_user(debian: Address, admin: str) -> Callable[[str], str]:
    """DSNs of users with their roles; the schema is there."""
    make_database_roles(SETTINGS, admin)
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(LOGINS.encode())

    def dsn(user: str) -> str:
        return f"postgresql://{user}:{PASSWORD}@{debian.hosts[0]}/ossa"

    migrate_database(SETTINGS, dsn("deployer"))
    return dsn


def refusal(dsn: str, *statements: str) -> list[str]:
    """What is said to each; empty where it is done."""
    said = []
    with psycopg.connect(dsn, autocommit=True) as conn:
        for statement in statements:
            try:
                conn.execute(statement.encode())
                said.append("")
            except psycopg.Error as error:
                said.append(str(error).splitlines()[0])
    return said


async def a_task(dsn: str, tenant: str, number: int) -> None:
    stores = PostgresStores(SETTINGS, dsn)
    await stores.open()
    try:
        task_id = f"task_{number:032x}"
        request = TaskRequest(messages=[{"role": "user", "content": "hi"}])
        await stores.journal.accept(NewTask(id=task_id, tenant=tenant, request=request, body_sha256="b"), owner="me")
        step = Step(seq=0, kind="model", agent_id="a", payload={}, at=datetime.now(UTC))
        await stores.journal.append(task_id, fence=1, steps=[step])
        await stores.journal.finish(task_id, fence=1, outcome=Outcome(status=TaskStatus.SUCCEEDED))
        assert (await stores.journal.get(task_id, tenant=tenant)).status is TaskStatus.SUCCEEDED
        assert len(await stores.journal.tasks(tenant=tenant)) == 1
        await stores.budgets.recover()
        await stores.routing.promote("labels", 1) if await stores.routing.models() else None
    finally:
        await stores.close()


def test_the_runtime_works_and_prunes_with_the_rights_of_ossa_app(as_user: Callable[[str], str]) -> None:
    async def story() -> int:
        await a_task(as_user("gateway"), "acme", 1)
        stores = PostgresStores(SETTINGS, as_user("gateway"))
        try:
            pruned = await stores.history.prune(before=datetime.now(UTC) + timedelta(days=1))
            return pruned.tasks
        finally:
            await stores.close()

    assert asyncio.run(story()) == 1


def events(page: LogPage) -> list[Event]:
    return [item.content for item in page.items if isinstance(item.content, Event)]


def test_the_runtimes_role_tells_reads_and_prunes_facts(as_user: Callable[[str], str]) -> None:
    async def story() -> tuple[list[Event], list[Event]]:
        await a_task(as_user("gateway"), "acme", 3)
        await a_task(as_user("gateway"), "other", 4)
        stores = PostgresStores(SETTINGS, as_user("gateway"))
        try:
            await stores.open()
            every = await stores.facts.read(0, limit=100)
            mine = await stores.facts.read(0, limit=100, tenant="acme")
            (lease,) = await stores.facts.join("group", shards=1, owner="me", ttl_s=60)
            assert await stores.facts.commit(lease, every.end, owner="me") is not None
            await stores.facts.prune(before=datetime.now(UTC) - timedelta(days=1))
            return events(every), events(mine)
        finally:
            await stores.close()

    told, mine = asyncio.run(story())
    assert (len(told), [event.tenant for event in mine]) == (6, ["acme"] * 3)


def test_the_runtimes_role_changes_no_schema_and_sees_no_other_one(admin: str, as_user: Callable[[str], str]) -> None:
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA IF NOT EXISTS payroll")
        conn.execute("CREATE TABLE IF NOT EXISTS payroll.salaries (amount int)")
    said = refusal(
        as_user("gateway"),
        "CREATE TABLE ossa.mine ()",
        "ALTER TABLE ossa.tasks ADD COLUMN mine text",
        "ALTER TABLE ossa.tasks DISABLE ROW LEVEL SECURITY",
        "DROP TABLE ossa.tasks",
        "TRUNCATE ossa.tasks",
        "CREATE SCHEMA mine",
        "CREATE TABLE public.mine ()",
        "CREATE ROLE mine",
        "UPDATE ossa.migrations SET version = 1",
        "SELECT * FROM payroll.salaries",
        "SELECT * FROM pg_authid",
    )
    assert all("permission denied" in one or "must be owner" in one for one in said), said


def test_a_reader_reads_reports_and_neither_writes_nor_sees_secrets(as_user: Callable[[str], str]) -> None:
    asyncio.run(a_task(as_user("gateway"), "acme", 2))
    with psycopg.connect(as_user("analyst")) as conn:
        assert conn.execute("SELECT tenant FROM ossa.tasks").fetchall() == [("acme",)]
        assert conn.execute("SELECT count(*) FROM ossa.steps").fetchone() == (1,)
    said = refusal(
        as_user("analyst"),
        "SELECT * FROM ossa.secrets",
        "SELECT * FROM ossa.api_keys",
        "DELETE FROM ossa.tasks",
        "SELECT ossa.history_drop(now(), 1)",
        "SELECT ossa.history_ahead(8)",
    )
    assert all("permission denied" in one for one in said), said


def test_no_column_of_a_tenant_is_readable_without_a_policy_by_whoever_is_granted_it(
    admin: str, as_user: Callable[[str], str]
) -> None:
    """A right that somebody grants by hand shows nothing until a policy says what."""
    asyncio.run(a_task(as_user("gateway"), "acme", 3))
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(f"DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'".encode())
        conn.execute("GRANT USAGE ON SCHEMA ossa TO stranger; GRANT SELECT ON ALL TABLES IN SCHEMA ossa TO stranger")
    try:
        with psycopg.connect(as_user("stranger")) as conn:
            for table in ("tasks", "outcomes", "outcomes_before", "steps", "steps_before", "spending_daily"):
                assert conn.execute(f"SELECT * FROM ossa.{table}".encode()).fetchall() == [], table
    finally:
        with psycopg.connect(admin, autocommit=True) as conn:
            conn.execute("DROP OWNED BY stranger; DROP ROLE stranger")


async def test_tenants_are_kept_apart_for_the_runtimes_role_too(as_user: Callable[[str], str]) -> None:
    await a_task(as_user("gateway"), "acme", 4)
    await a_task(as_user("gateway"), "rival", 5)
    reader = Reader(Server(as_user("gateway"), SETTINGS), 1)
    try:
        assert {row["tenant"] for row in await reader.rows("SELECT * FROM ossa.tasks")} == {"acme", "rival"}
        assert {row["tenant"] for row in await reader.rows("SELECT * FROM ossa.tasks", tenant="acme")} == {"acme"}
    finally:
        await reader.close()


def test_a_user_who_may_not_migrate_is_told_who_does(admin: str, as_user: Callable[[str], str]) -> None:
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute("DELETE FROM ossa.migrations WHERE version = (SELECT max(version) FROM ossa.migrations)")
    with pytest.raises(StoreUnavailable, match=r"older than this program.*ossa database migrate"):
        asyncio.run(a_task(as_user("gateway"), "acme", 6))
    check = check_database(SETTINGS, as_user("gateway"))
    assert any("ossa database migrate" in fault for fault in check.faults)


def test_what_an_owner_has_made_by_itself_so_far_is_taken_over(
    debian: Address, admin: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One user for everything, who may make no roles: it works, unguarded, and says so. Then roles are made."""
    asyncio.run(a_task(debian.dsn, "acme", 7))
    assert "tenant_rows_unguarded" in caplog.text
    before = check_database(SETTINGS, debian.dsn)
    assert not before.guarded
    assert any("ossa database roles" in fault for fault in before.faults)
    for _ in range(2):  # it may be done again
        make_database_roles(SETTINGS, admin)
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute("GRANT ossa_app TO ossa")
        owners = conn.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'ossa'::regnamespace"
        ).fetchall()
    assert owners == [("ossa_owner",)]
    after = check_database(Database(pool_total=100), debian.dsn)
    assert (after.guarded, after.unguarded, after.faults) == (True, (), ())
    asyncio.run(a_task(debian.dsn, "rival", 8))


async def test_any_member_of_the_owner_migrates_and_the_owner_owns(admin: str, as_user: Callable[[str], str]) -> None:
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute("DROP SCHEMA ossa CASCADE")
    make = asyncio.to_thread(make_database_roles, SETTINGS, admin)
    await make
    assert len(await migrate(Server(as_user("deployer"), SETTINGS))) in (0, len(load_migrations()))
    with psycopg.connect(admin) as conn:
        owner = conn.execute("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'open_tasks'").fetchone()
    assert owner == ("ossa_owner",)


def test_the_commands_tell_what_they_found_and_never_the_password(
    admin: str, as_user: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, debian: Address
) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(application.app, ["database", *arguments])

    monkeypatch.setenv("OSSA_DATABASE__DSN", as_user("gateway"))
    monkeypatch.setenv("OSSA_DATABASE__POOL_TOTAL", "100")
    found = run("check", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["guarded"] and not told["superuser"] and not told["owner"] and told["faults"] == []
    assert PASSWORD not in found.output
    assert "nothing was missing" in run("migrate").stdout
    assert "ossa_tenant" in run("roles", "--admin-dsn", admin).stdout
    assert "CREATE ROLE" in run("roles", "--print").stdout
    refused = run("roles", "--admin-dsn", as_user("gateway"))
    assert refused.exit_code == 1
    assert "could not be made" in refused.output and PASSWORD not in refused.output


def test_an_error_for_a_missing_right_names_the_command(as_user: Callable[[str], str]) -> None:
    async def story() -> None:
        reader = Reader(Server(as_user("analyst"), SETTINGS), 1)
        try:
            await reader.execute("DELETE FROM ossa.tasks")
        finally:
            await reader.close()

    with pytest.raises(OssaError, match="ossa database roles"):
        asyncio.run(story())
