"""`ossa router`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ossa.cli.session import Session, fleet_command, group
from ossa.contracts.routing import ModelKind
from ossa.sdk.client import Client
from ossa.sdk.routing import Policy, ServingList

app = group("Show and change what decides where requests go: its models, their registry, and tenants' policies.")

WITHOUT: dict[ModelKind, str] = {"forecast": "a simple method"}
"""What serves without a live model, for kinds that have no packaged one."""

Kind = Annotated[ModelKind, typer.Argument(help="The kind of model.")]


@app.command(epilog="Example: ossa router status --json | jq .models")
@fleet_command
def status(session: Session) -> None:
    """Show which models decide, since when, and why one has fallen back."""
    status = session.client.routing.status()
    if session.as_json:
        session.terminal.json(status)
        return
    session.terminal.listing(ServingList(status.models))
    if status.fault:
        session.terminal.note(f"The registry does not answer: {status.fault}")


@app.command(epilog="Example: ossa router models --kind quality")
@fleet_command
def models(
    session: Session,
    kind: Annotated[ModelKind | None, typer.Option("--kind", help="Only models of this kind.")] = None,
) -> None:
    """List the models of the registry, newest first; with --json their cards too."""
    session.terminal.result(session.client.routing.models(kind=kind))


@app.command(epilog="Example: ossa router promote quality 3")
@fleet_command
def promote(
    session: Session,
    kind: Kind,
    version: Annotated[int, typer.Argument(min=1, help="Its version, from `ossa router models`.")],
) -> None:
    """Let a model decide, or forecast; it is swapped in within seconds, a forecast within a minute."""
    session.terminal.result(session.client.routing.promote(kind, version), note=f"{kind} {version} is live.")


@app.command(epilog="Example: ossa router rollback quality")
@fleet_command
def rollback(session: Session, kind: Kind) -> None:
    """Go back to the model that was live before; without one the packaged model serves, or simple methods forecast."""
    done = session.client.routing.roll_back(kind)
    live = f"version {done.live.version}" if done.live else WITHOUT.get(kind, "the packaged model")
    session.terminal.result(done, note=f"{kind}: {live} is live.")


@app.command(epilog="Example: ossa router policy --set models=cheapest --set quality_floor=0.95")
@fleet_command
def policy(
    session: Session,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a setting; repeatable.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the tenant's own policy.")] = False,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Another tenant's, or * for all without one (the operator's).")
    ] = None,
) -> None:
    """Show or change the policy that decides between quality and cost."""
    if remove and settings:
        raise typer.BadParameter("--set and --remove exclude each other.")
    changes = dict(_setting(text) for text in settings or ())
    policy = _apply(session.client, tenant, changes, remove=remove)
    if session.as_json:
        session.terminal.json(policy)
        return
    rows = [(name, json.dumps(value)) for name, value in policy.policy.items()]
    session.terminal.table(("setting", "value"), rows)
    session.terminal.note(f"Policy of {policy.tenant}: {policy.source}.")


def _apply(client: Client, tenant: str | None, changes: dict[str, Any], *, remove: bool) -> Policy:
    if remove:
        return client.routing.remove_policy(tenant=tenant)
    policy = client.routing.policy(tenant=tenant)
    return client.routing.set_policy({**policy.policy, **changes}, tenant=tenant) if changes else policy


def _setting(text: str) -> tuple[str, Any]:
    """Reads NAME=VALUE; the value is JSON where it can be read as such, else a text."""
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise typer.BadParameter(f"--set needs NAME=VALUE, not {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
