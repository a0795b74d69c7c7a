"""`ossa ask`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from ossa.cli import options
from ossa.cli.session import connected
from ossa.cli.terminal import Terminal
from ossa.sdk.chat import Answer
from ossa.sdk.client import Client


def ask(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="The question; - reads it from standard input.")],
    pool: Annotated[str | None, typer.Option("--pool", help="Ask this pool.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Ask this agent, by id or manifest name.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer as it comes.")] = False,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="Longest answer.")] = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Ask the fleet and print the answer. With --stream --json: a line a piece, then the whole answer."""
    model = target_of(pool, agent)
    prompt = sys.stdin.read() if text == "-" else text
    if not prompt.strip():
        raise typer.BadParameter("the question is empty.", param_hint="TEXT")
    parameters: dict[str, Any] = {"max_tokens": max_tokens} if max_tokens else {}
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        if stream:
            answer = _streamed(client, terminal, prompt, model, parameters)
        else:
            answer = client.chat(prompt, model=model, **parameters)
            if not as_json:
                terminal.text(answer.text)
        if as_json:
            terminal.json(answer)
        terminal.note(_summary(answer))


def target_of(pool: str | None, agent: str | None) -> str:
    """What `model` is for these options."""
    if pool and agent:
        raise typer.BadParameter("--pool and --agent exclude each other.")
    return f"pool/{pool}" if pool else f"agent/{agent}" if agent else "auto"


def _streamed(client: Client, terminal: Terminal, prompt: str, model: str, parameters: dict[str, Any]) -> Answer:
    with client.chat(prompt, model=model, stream=True, **parameters) as pieces:
        for piece in pieces:
            if terminal.as_json:
                terminal.json({"delta": piece})
            else:
                terminal.text(piece, end="")
        if not terminal.as_json:
            terminal.text("")
        return pieces.answer()


def _summary(answer: Answer) -> str:
    spent = f"{answer.usage.total_tokens} tokens", f"${answer.cost_usd:.6f}"
    facts = (answer.agent, answer.model, *spent, answer.task_id)
    return " · ".join(fact for fact in facts if fact)
