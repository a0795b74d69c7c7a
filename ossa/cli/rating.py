"""`ossa feedback`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ossa.cli import options
from ossa.cli.session import connected


class Rating(StrEnum):
    UP = "up"
    DOWN = "down"


def feedback(
    context: typer.Context,
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="The task's id; it must have ended.")],
    rating: Annotated[Rating, typer.Argument(help="Was the answer what was wanted?")],
    comment: Annotated[str, typer.Option("--comment", help="Why, at most 4096 characters.")] = "",
    expected: Annotated[
        str, typer.Option("--expected", help="The pool, manifest or agent that should have answered.")
    ] = "",
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Rate a task's answer; routing learns from it. A second rating replaces the first."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        kept = client.tasks.rate(task_id, rating.value, comment=comment, expected=expected)
        if as_json:
            terminal.json(kept)
        else:
            terminal.note(f"{task_id} is rated {rating.value}.")
