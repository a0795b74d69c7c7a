"""`ossa keys`."""

from __future__ import annotations

from typing import Annotated

import typer

from ossa.cli import options
from ossa.cli.session import connected
from ossa.contracts.access import Scope
from ossa.sdk.keys import Keys

app = typer.Typer(
    help="Make, list and revoke API keys. Needs a key with the scope `admin`.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog="Example: ossa keys create ci --scope chat --scope tasks")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What it may do, once a scope; else chat, tasks, agents:read.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Whose it is; else the tenant of your own key.")
    ] = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Make a key. Its secret is printed now and can never be shown again."""
    scopes = [item.value for item in scope] if scope else None
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        made = client.keys.create(name, scopes=scopes, tenant=tenant)
        secret = made.secret.get_secret_value()
        if as_json:
            terminal.json({"key": made.key, "secret": secret})
            return
        terminal.text(secret)
        key = made.key
        terminal.note(f"Key {key.id} of tenant {key.tenant} for {', '.join(key.scopes)}. It is not shown again.")


@app.command("list", epilog="Example: ossa keys list --json")
def list_keys(
    context: typer.Context, url: options.Url = None, api_key: options.ApiKey = None, as_json: options.Json = False
) -> None:
    """List keys, without their secrets."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        found = client.keys.list()
        if as_json:
            terminal.json(found)
        else:
            terminal.table(Keys.columns, found.rows())


@app.command(epilog="Example: ossa keys revoke key_0193...")
def revoke(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, not its secret.")],
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """End a key; replicas of the gateway believe it for a few seconds more."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        key = client.keys.revoke(key_id)
        if as_json:
            terminal.json(key)
        else:
            terminal.note(f"Key {key_id} is revoked.")
