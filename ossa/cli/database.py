"""`ossa database`: what an operator does on PostgreSQL itself. It needs no fleet."""

from __future__ import annotations

from typing import Annotated

import typer

from ossa.cli.session import Session, group, local_command
from ossa.cli.terminal import ExitCode
from ossa.contracts.errors import InvalidRequest

app = group("Check, migrate and restrict the PostgreSQL of a fleet.")

Dsn = Annotated[
    str | None,
    typer.Option("--dsn", help="Other users of this machine can see it; OSSA_DATABASE__DSN is safer."),
]


@app.command(epilog="Example: ossa database check --json | jq .faults")
@local_command
def check(session: Session, dsn: Dsn = None) -> None:
    """Say what is wrong with the database: exit code 1 when something is."""
    from ossa.app.connections import check_database

    facts = check_database(session.settings.database, _dsn(session, dsn))
    if session.as_json:
        session.terminal.json(facts)
    else:
        rows = facts.model_dump(exclude={"faults", "unguarded"}).items()
        session.terminal.table(("fact", "value"), [(name, str(value)) for name, value in rows])
        for fault in facts.faults:
            session.terminal.text(fault)
    raise typer.Exit(ExitCode.FAILED if facts.faults else ExitCode.OK)


@app.command(epilog="Example: ossa database migrate --dsn postgresql://deployer@db/ossa")
@local_command
def migrate(session: Session, dsn: Dsn = None) -> None:
    """Migrate the schema to this version, as its owner. A fleet whose user may do so migrates by itself."""
    from ossa.app.connections import migrate_database

    applied = migrate_database(session.settings.database, _dsn(session, dsn))
    session.terminal.result({"applied": applied}, text=f"Applied: {', '.join(applied) or 'nothing was missing'}.")


@app.command(epilog="Example: ossa database roles --print | psql")
@local_command
def roles(
    session: Session,
    admin_dsn: Annotated[
        str | None,
        typer.Option("--admin-dsn", envvar="OSSA_ADMIN_DSN", help="DSN of a superuser, in the fleet's database."),
    ] = None,
    print_sql: Annotated[bool, typer.Option("--print", help="Print the SQL, and run nothing.")] = False,
) -> None:
    """Make the roles ossa_owner, ossa_app, ossa_reader and ossa_tenant, with what each may do. May be repeated."""
    from ossa.app.connections import make_database_roles, roles_sql

    if print_sql:
        session.terminal.text(roles_sql(), end="")
        return
    if not admin_dsn:
        raise InvalidRequest("Say --admin-dsn or set OSSA_ADMIN_DSN.", param="admin_dsn")
    make_database_roles(session.settings.database, admin_dsn)
    session.terminal.result(
        {"roles": ["ossa_owner", "ossa_app", "ossa_reader", "ossa_tenant"]},
        text="ossa_owner, ossa_app, ossa_reader and ossa_tenant are there. Make log-ins yourself:\n"
        "  CREATE ROLE gateway LOGIN PASSWORD '...' IN ROLE ossa_app;",
    )


def _dsn(session: Session, given: str | None) -> str:
    dsn = given or session.settings.database.dsn.get_secret_value()
    if not dsn:
        raise InvalidRequest(
            "There is no PostgreSQL DSN: set OSSA_DATABASE__DSN or say --dsn. An embedded one needs none of this.",
            param="database.dsn",
        )
    return dsn
