"""`ossa router`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ossa.cli import options
from ossa.cli.session import connected
from ossa.contracts.routing import ModelKind
from ossa.sdk.client import Client
from ossa.sdk.routing import Policy, RouterModels, ServingList

app = typer.Typer(
    help="What decides where requests go: its models, their registry, and tenants' policies.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

WITHOUT: dict[ModelKind, str] = {"forecast": "a simple method"}
"""What serves without a live model, where that is no packaged one."""

Kind = Annotated[ModelKind, typer.Argument(help="The kind of model.")]


@app.command(epilog="Example: ossa router status --json | jq .models")
def status(
    context: typer.Context, url: options.Url = None, api_key: options.ApiKey = None, as_json: options.Json = False
) -> None:
    """Show which models decide, since when, and why a fallback."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        found = client.routing.status()
        if as_json:
            terminal.json(found)
            return
        terminal.table(ServingList.columns, ServingList(found.models).rows())
        if found.fault:
            terminal.note(f"The registry does not answer: {found.fault}")


@app.command(epilog="Example: ossa router models --kind quality")
def models(
    context: typer.Context,
    kind: Annotated[ModelKind | None, typer.Option("--kind", help="Only this kind's.")] = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """List the models of the registry, newest first; with --json their cards too."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        found = client.routing.models(kind=kind)
        if as_json:
            terminal.json(found)
        else:
            terminal.table(RouterModels.columns, found.rows())


@app.command(epilog="Example: ossa router promote quality 3")
def promote(
    context: typer.Context,
    kind: Kind,
    version: Annotated[int, typer.Argument(min=1, help="Its version, from `ossa router models`.")],
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Let a model decide, or forecast; it is swapped in within seconds, a forecast within a minute."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        model = client.routing.promote(kind, version)
        if as_json:
            terminal.json(model)
        else:
            terminal.note(f"{kind} {version} is live.")


@app.command(epilog="Example: ossa router rollback quality")
def rollback(
    context: typer.Context,
    kind: Kind,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Go back to the model that was live before; without one the packaged model serves, or simple methods forecast."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        done = client.routing.roll_back(kind)
        if as_json:
            terminal.json(done)
        else:
            live = f"version {done.live.version}" if done.live else WITHOUT.get(kind, "the packaged model")
            terminal.note(f"{kind}: {live} is live.")


@app.command(epilog="Example: ossa router policy --set models=cheapest --set quality_floor=0.95")
def policy(
    context: typer.Context,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, once each.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the tenant's own policy.")] = False,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Another tenant's, or * for all without one (the operator's).")
    ] = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Show or change the policy that decides between quality and cost."""
    if remove and settings:
        raise typer.BadParameter("--set and --remove exclude each other.")
    changes = dict(_setting(text) for text in settings or ())
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        found = _apply(client, tenant, changes, remove=remove)
        if as_json:
            terminal.json(found)
            return
        terminal.table(("setting", "value"), [(name, json.dumps(value)) for name, value in found.policy.items()])
        terminal.note(f"Policy of {found.tenant}: {found.source}.")


def _apply(client: Client, tenant: str | None, changes: dict[str, Any], *, remove: bool) -> Policy:
    if remove:
        return client.routing.remove_policy(tenant=tenant)
    found = client.routing.policy(tenant=tenant)
    return client.routing.set_policy({**found.policy, **changes}, tenant=tenant) if changes else found


def _setting(text: str) -> tuple[str, Any]:
    """A value is JSON where it can be read as such, else a text."""
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise typer.BadParameter(f"--set needs NAME=VALUE, not {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
