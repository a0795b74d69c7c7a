"""`ossa scale` and `ossa apply`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from ossa.cli import options
from ossa.cli.exit_code import ExitCode
from ossa.cli.session import connected
from ossa.cli.terminal import Terminal
from ossa.manifest import read_agent
from ossa.sdk.client import Client
from ossa.sdk.values.operation import Operation


def scale(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(help="Name of the pool.")],
    size: Annotated[int, typer.Argument(min=0, max=10_000, help="Agents it shall have.")],
    wait: options.Wait = True,
    timeout_s: options.Timeout = 600.0,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Give a pool another size."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        _follow(client, terminal, client.pools.scale(pool, size), wait=wait, timeout_s=timeout_s)


def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="An OSSA manifest.")],
    pool: Annotated[str | None, typer.Option("--pool", help="The pool; else the one the manifest names.")] = None,
    wait: options.Wait = True,
    timeout_s: options.Timeout = 600.0,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Roll a manifest out over a pool, agent by agent; running turns finish."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        name = pool or read_agent(file).pool
        if not name:
            raise typer.BadParameter(f"{file} names no pool; say which with --pool.")
        _follow(client, terminal, client.pools.apply(name, file), wait=wait, timeout_s=timeout_s)


def _follow(client: Client, terminal: Terminal, operation: Operation, *, wait: bool, timeout_s: float) -> None:
    """Show the operation, once it has ended with `wait`; a failed one raises its error."""
    if wait and not operation.ended:
        with terminal.err.status(f"{operation.kind} {operation.id}") if terminal.err.is_terminal else nullcontext():
            operation = client.operations.wait(operation.id, timeout_s=timeout_s)
    if terminal.as_json:
        terminal.json(operation)
    else:
        terminal.table(("operation", "kind", "status"), [(operation.id, operation.kind, operation.status)])
    if operation.status != "failed":
        return
    if operation.error and not terminal.as_json:
        terminal.error(operation.error.to_error())
    raise typer.Exit(ExitCode.FAILED)
