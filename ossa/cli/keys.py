"""`ossa keys`."""

from __future__ import annotations

from typing import Annotated

import typer

from ossa.cli.session import Session, fleet_command, group
from ossa.contracts.access import Scope

app = group("Make, list and revoke API keys. Needs a key with the scope `admin`.")


@app.command(epilog="Example: ossa keys create ci --scope chat --scope tasks")
@fleet_command
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What it may do; repeatable. Else chat, tasks, agents:read.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Whose it is; else the tenant of your own key.")
    ] = None,
) -> None:
    """Make a key. Its secret is printed now and can never be shown again."""
    scopes = [item.value for item in scope] if scope else None
    made = session.client.keys.create(name, scopes=scopes, tenant=tenant)
    key, secret = made.key, made.secret.get_secret_value()
    session.terminal.result({"key": key, "secret": secret}, text=secret)
    session.terminal.note(f"Key {key.id} of tenant {key.tenant} for {', '.join(key.scopes)}. It is not shown again.")


@app.command("list", epilog="Example: ossa keys list --json")
@fleet_command
def list_keys(session: Session) -> None:
    """List keys, without their secrets."""
    session.terminal.result(session.client.keys.list())


@app.command(epilog="Example: ossa keys revoke key_0193...")
@fleet_command
def revoke(
    session: Session,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, not its secret.")],
) -> None:
    """Revoke a key; replicas of the gateway accept it for a few seconds more."""
    session.terminal.result(session.client.keys.revoke(key_id), note=f"Key {key_id} is revoked.")
