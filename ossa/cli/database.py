"""`ossa database`: an operator's acts on PostgreSQL itself. They need no fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ossa.cli import options
from ossa.cli.exit_code import ExitCode
from ossa.cli.session import reporting
from ossa.contracts.errors import InvalidRequest

if TYPE_CHECKING:
    from ossa.settings import Settings

app = typer.Typer(
    help="Check, migrate and restrict the PostgreSQL of a fleet.", no_args_is_help=True, rich_markup_mode=None
)

Dsn = Annotated[
    str | None,
    typer.Option("--dsn", help="Other users of this machine can see it; OSSA_DATABASE__DSN is safer."),
]


@app.command(epilog="Example: ossa database check --json | jq .faults")
def check(dsn: Dsn = None, as_json: options.Json = False) -> None:
    """Say what of the database is not as it should be: exit code 1 when something is."""
    with reporting(as_json=as_json) as terminal:
        from ossa.app.database import check_database

        settings = _settings()
        found = check_database(settings.database, _dsn(settings, dsn))
        if as_json:
            terminal.json(found)
        else:
            facts = found.model_dump(exclude={"faults", "unguarded"})
            terminal.table(("fact", "value"), [(name, str(value)) for name, value in facts.items()])
            for fault in found.faults:
                terminal.text(fault)
    raise typer.Exit(ExitCode.FAILED if found.faults else ExitCode.OK)


@app.command(epilog="Example: ossa database migrate --dsn postgresql://deployer@db/ossa")
def migrate(dsn: Dsn = None, as_json: options.Json = False) -> None:
    """Bring the schema up to this program's, as its owner. A fleet whose user may do so does it by itself."""
    with reporting(as_json=as_json) as terminal:
        from ossa.app.database import migrate_database

        settings = _settings()
        applied = migrate_database(settings.database, _dsn(settings, dsn))
        if as_json:
            terminal.json({"applied": applied})
        else:
            terminal.text(f"Applied: {', '.join(applied) or 'nothing was missing'}.")


@app.command(epilog="Example: ossa database roles --print | psql")
def roles(
    admin_dsn: Annotated[
        str | None,
        typer.Option("--admin-dsn", envvar="OSSA_ADMIN_DSN", help="Of a superuser, in the fleet's database."),
    ] = None,
    print_sql: Annotated[bool, typer.Option("--print", help="Print the SQL, and run nothing.")] = False,
    as_json: options.Json = False,
) -> None:
    """Make the roles ossa_owner, ossa_app, ossa_reader and ossa_tenant, with what each may do. May be done again."""
    with reporting(as_json=as_json) as terminal:
        from ossa.app.database import make_database_roles, roles_sql

        if print_sql:
            terminal.text(roles_sql(), end="")
            return
        if not admin_dsn:
            raise InvalidRequest("Say --admin-dsn or set OSSA_ADMIN_DSN.", param="admin_dsn")
        make_database_roles(_settings().database, admin_dsn)
        if as_json:
            terminal.json({"roles": ["ossa_owner", "ossa_app", "ossa_reader", "ossa_tenant"]})
        else:
            terminal.text("ossa_owner, ossa_app, ossa_reader and ossa_tenant are there. Log-ins are yours to make:")
            terminal.text("  CREATE ROLE gateway LOGIN PASSWORD '...' IN ROLE ossa_app;")


def _settings() -> Settings:
    from ossa.settings import Settings

    return Settings()


def _dsn(settings: Settings, said: str | None) -> str:
    found = said or settings.database.dsn.get_secret_value()
    if not found:
        raise InvalidRequest(
            "There is no PostgreSQL DSN: set OSSA_DATABASE__DSN or say --dsn. An embedded one needs none of this.",
            param="database.dsn",
        )
    return found
