"""`ossa memory`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from ossa.cli.session import Session, fleet_command, group, local_command
from ossa.sdk.memory import PlaceProofs

app = group("Remember, recall and forget.")

Kind = Annotated[str | None, typer.Option("--kind", help="Such as fact, preference, episode.")]
Subject = Annotated[str | None, typer.Option("--subject", help="The person it is about.")]
Facts = Annotated[
    list[str] | None, typer.Option("--fact", metavar="NAME=VALUE", help="A fact to filter by; repeatable.")
]
Of = Annotated[str | None, typer.Option("--of", help="Another tenant, by its grant.")]


@app.command(epilog="Example: ossa memory remember 'Anna prefers e-mail' --subject anna --kind preference")
@fleet_command
def remember(
    session: Session,
    content: Annotated[str, typer.Argument(help="What is remembered; - reads standard input.")],
    id: Annotated[str | None, typer.Option("--id", help="Your name for it; what is there is replaced.")] = None,
    kind: Kind = None,
    subject: Subject = None,
    fact: Facts = None,
    lasts_s: Annotated[float | None, typer.Option("--lasts", min=0.001, help="Seconds until it is forgotten.")] = None,
) -> None:
    """Remember a text."""
    text = sys.stdin.read() if content == "-" else content
    facts = _facts(fact)
    made = session.client.memory.remember(text, id=id, kind=kind, subject=subject, facts=facts, lasts_s=lasts_s)
    session.terminal.result(made, text=made.id)


@app.command(epilog="Example: ossa memory recall 'how to send invoices' --subject anna")
@fleet_command
def recall(
    session: Session,
    text: Annotated[str, typer.Argument(help="What to look for by meaning; without it the newest.")] = "",
    id: Annotated[str | None, typer.Option("--id", help="Recall this item.")] = None,
    kind: Kind = None,
    subject: Subject = None,
    fact: Facts = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200)] = 10,
    of: Of = None,
) -> None:
    """Recall by id, by meaning, or the newest."""
    facts = _facts(fact)
    memory = session.client.memory
    if id is not None:
        item = memory.get(id, of=of)
        session.terminal.result(item, text=item.content or "")
    else:
        session.terminal.result(memory.recall(text, kind=kind, subject=subject, facts=facts, limit=limit, of=of))


@app.command(epilog="Example: ossa memory forget --subject anna --json")
@fleet_command
def forget(
    session: Session,
    id: Annotated[str | None, typer.Argument(help="Forget this item.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Forget all about this person.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Forget all of the key's tenant.")] = False,
) -> None:
    """Forget an item, a person, or everything; and show the proof. Exit code 1 while a place has not confirmed."""
    if sum((id is not None, subject is not None, everything)) != 1:
        raise typer.BadParameter("Say one of ID, --subject and --everything.")
    if id is not None:
        proof = session.client.memory.forget(id)
    elif subject is not None:
        proof = session.client.memory.forget_subject(subject)
    else:
        proof = session.client.memory.forget_everything()
    if session.as_json:
        session.terminal.json(proof)
    else:
        session.terminal.listing(PlaceProofs(proof.places))
        state = "every place confirmed" if proof.complete else "a place has not confirmed yet, and is asked again"
        session.terminal.note(f"{proof.items} forgotten; {state}.")
    if not proof.complete:
        raise typer.Exit(1)


@app.command(epilog="Example: ossa memory grant research --kind preference")
@fleet_command
def grant(
    session: Session,
    tenant: Annotated[str | None, typer.Argument(help="Who may read; without it the grants are listed.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only items of this kind; repeatable.")] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the grant back.")] = False,
) -> None:
    """Let another tenant read, take that back, or list who may."""
    if revoke and tenant is None:
        raise typer.BadParameter("Say whose grant is taken back.")
    memory, terminal = session.client.memory, session.terminal
    if tenant is None:
        terminal.result(memory.grants())
    elif revoke:
        memory.revoke(tenant)
        terminal.result({"to": tenant, "revoked": True}, note=f"{tenant} may read no more.")
    else:
        made = memory.grant(tenant, *(kind or ()))
        terminal.result(made, note=f"{made.to} may read {', '.join(made.kinds)}.")


@app.command(epilog="Example: ossa memory reindex")
@local_command
def reindex(session: Session) -> None:
    """Have the index made anew from PostgreSQL, after it was lost. Works on the home of this machine."""
    from ossa.app.memory import reindex_all

    count = reindex_all(session.settings)
    session.terminal.result({"memories": count}, note=f"{count} memories are indexed by the next sweeps.")


def _facts(given: list[str] | None) -> dict[str, Any]:
    """Reads facts: numbers, true and false are JSON; all else is text."""
    facts: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--fact is NAME=VALUE, not {text}.")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        facts[name] = parsed if isinstance(parsed, bool | int) else value
    return facts
