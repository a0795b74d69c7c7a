"""`ossa agents` and `ossa tasks`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ossa.cli import options
from ossa.cli.exit_code import ExitCode
from ossa.cli.session import connected
from ossa.cli.terminal import Terminal
from ossa.contracts.errors import NotFound
from ossa.sdk.client import Client
from ossa.sdk.fleet import Agents
from ossa.sdk.tasks import Task, Tasks


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


def agents(
    context: typer.Context,
    pool: Annotated[str | None, typer.Option("--pool", help="Only this pool's.")] = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """List the live agents."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        found = client.agents.list(pool=pool)
        if pool is not None and not found:
            _check_pool(client, pool)
        if as_json:
            terminal.json(found)
        else:
            terminal.table(Agents.columns, found.rows())


def _check_pool(client: Client, name: str) -> None:
    """A pool may have no agents; one that is misspelt is an error."""
    known = [pool.name for pool in client.pools.list()]
    if name not in known:
        raise NotFound(f"there is no pool {name!r}: the pools are {', '.join(known)}", param="pool")


def tasks(
    context: typer.Context,
    task_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One task; else the newest ones.")] = None,
    events: Annotated[bool, typer.Option("--events", help="Follow the task's events to its end.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Ask for the task's end.")] = False,
    status: Annotated[Status | None, typer.Option("--status", help="Only tasks with this status.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="At most so many.")] = 20,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """List tasks, or show one: exit code 1 when that one failed or was cancelled."""
    if task_id is None and (events or cancel):
        raise typer.BadParameter("--events and --cancel need the task's ID.")
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        if task_id is None:
            _list(terminal, client.tasks.list(status=status and status.value, limit=limit))
            return
        if cancel:
            client.tasks.cancel(task_id)
        if events:
            _follow(client, terminal, task_id)
        task = client.tasks.get(task_id)
        _show(terminal, task)
    if task.status in ("failed", "cancelled") and not cancel:
        raise typer.Exit(ExitCode.FAILED)


def _list(terminal: Terminal, found: Tasks) -> None:
    if terminal.as_json:
        terminal.json(found)
    else:
        terminal.table(Tasks.columns, found.rows())


def _follow(client: Client, terminal: Terminal, task_id: str) -> None:
    for event in client.tasks.events(task_id):
        if terminal.as_json:
            terminal.json(event)
        else:
            terminal.text(f"{event.id:>4}  {event.type}  {_gist(event.data)}")


def _gist(data: dict[str, object]) -> str:
    known = (data.get(key) for key in ("kind", "agent_id", "status"))
    return "  ".join(str(value) for value in known if value)


def _show(terminal: Terminal, task: Task) -> None:
    if terminal.as_json:
        terminal.json(task)
        return
    terminal.table(Tasks.columns, Tasks((task,)).rows())
    if task.text:
        terminal.text(task.text)
    if task.outcome and task.outcome.error:
        terminal.error(task.outcome.error.to_error())
