"""`ossa memory`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from ossa.cli import options
from ossa.cli.session import connected, reporting
from ossa.cli.terminal import Terminal
from ossa.contracts.memory import ForgetProof
from ossa.sdk.memory import MemoryGrants, PlaceProofs, Recollections

app = typer.Typer(help="Remember, recall and forget.", no_args_is_help=True, rich_markup_mode=None)

Kind = Annotated[str | None, typer.Option("--kind", help="Such as fact, preference, episode.")]
Subject = Annotated[str | None, typer.Option("--subject", help="The person it is about.")]
Facts = Annotated[
    list[str] | None, typer.Option("--fact", metavar="NAME=VALUE", help="To filter by; may be given several times.")
]
Of = Annotated[str | None, typer.Option("--of", help="Another tenant, by its grant.")]


@app.command(epilog="Example: ossa memory remember 'Anna prefers e-mail' --subject anna --kind preference")
def remember(
    context: typer.Context,
    content: Annotated[str, typer.Argument(help="What is remembered; - reads standard input.")],
    id: Annotated[str | None, typer.Option("--id", help="Your name for it; what is there is replaced.")] = None,
    kind: Kind = None,
    subject: Subject = None,
    fact: Facts = None,
    lasts_s: Annotated[float | None, typer.Option("--lasts", min=0.001, help="Seconds until it is forgotten.")] = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Remember a text."""
    text = sys.stdin.read() if content == "-" else content
    facts = _facts(fact)
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        made = client.memory.remember(text, id=id, kind=kind, subject=subject, facts=facts, lasts_s=lasts_s)
        if as_json:
            terminal.json(made)
        else:
            terminal.text(made.id)


@app.command(epilog="Example: ossa memory recall 'how to send invoices' --subject anna")
def recall(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What is looked for by meaning; without it the newest.")] = "",
    id: Annotated[str | None, typer.Option("--id", help="This one.")] = None,
    kind: Kind = None,
    subject: Subject = None,
    fact: Facts = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200)] = 10,
    of: Of = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Recall by id, by meaning, or the newest."""
    facts = _facts(fact)
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        if id is not None:
            one = client.memory.get(id, of=of)
            terminal.json(one) if as_json else terminal.text(one.content or "")
            return
        found = client.memory.recall(text, kind=kind, subject=subject, facts=facts, limit=limit, of=of)
        if as_json:
            terminal.json(found)
        else:
            terminal.table(Recollections.columns, found.rows())


@app.command(epilog="Example: ossa memory forget --subject anna --json")
def forget(
    context: typer.Context,
    id: Annotated[str | None, typer.Argument(help="This one.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="All about this person.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All of the key's tenant.")] = False,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Forget one, a person, or everything; and show the proof. Exit code 1 while a place has not confirmed."""
    if sum((id is not None, subject is not None, everything)) != 1:
        raise typer.BadParameter("Say one of ID, --subject and --everything.")
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        if id is not None:
            proof = client.memory.forget(id)
        elif subject is not None:
            proof = client.memory.forget_subject(subject)
        else:
            proof = client.memory.forget_everything()
        _show(terminal, proof)
        if not proof.complete:
            raise typer.Exit(1)


@app.command(epilog="Example: ossa memory grant research --kind preference")
def grant(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Argument(help="Who may read; without it the grants are listed.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Of this kind alone; may be given again.")] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take it back.")] = False,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Let another tenant read, take that back, or list who may."""
    if revoke and tenant is None:
        raise typer.BadParameter("Say whose grant is taken back.")
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        if tenant is None:
            found = client.memory.grants()
            terminal.json(found) if as_json else terminal.table(MemoryGrants.columns, found.rows())
        elif revoke:
            client.memory.revoke(tenant)
            terminal.json({"to": tenant, "revoked": True}) if as_json else terminal.note(f"{tenant} reads no more.")
        else:
            made = client.memory.grant(tenant, *(kind or ()))
            terminal.json(made) if as_json else terminal.note(f"{made.to} may read {', '.join(made.kinds)}.")


@app.command(epilog="Example: ossa memory reindex")
def reindex(as_json: options.Json = False) -> None:
    """Have the index made anew from PostgreSQL, after it was lost. At the home of this machine."""
    with reporting(as_json=as_json) as terminal:
        from ossa.app.memory import reindex_all
        from ossa.settings import Settings

        count = reindex_all(Settings())
        terminal.json({"memories": count}) if as_json else terminal.note(
            f"{count} memories are indexed by the next sweeps."
        )


def _show(terminal: Terminal, proof: ForgetProof) -> None:
    if terminal.as_json:
        terminal.json(proof)
        return
    terminal.table(PlaceProofs.columns, PlaceProofs(proof.places).rows())
    state = "every place confirmed" if proof.complete else "a place has not confirmed yet, and is asked again"
    terminal.note(f"{proof.items} forgotten; {state}.")


def _facts(given: list[str] | None) -> dict[str, Any]:
    """Numbers, true and false are JSON; all else is text."""
    facts: dict[str, Any] = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not equals:
            raise typer.BadParameter(f"--fact is NAME=VALUE, not {one}.")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        facts[name] = parsed if isinstance(parsed, bool | int) else value
    return facts
