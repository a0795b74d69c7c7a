"""`ossa scale` and `ossa apply`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from ossa.cli import options, scaling
from ossa.cli.exit_code import ExitCode
from ossa.cli.session import connected
from ossa.cli.terminal import Terminal
from ossa.manifest import read_agent
from ossa.sdk.client import Client
from ossa.sdk.fleet import Operation


def scale(
    context: typer.Context,
    pool: Annotated[
        str | None, typer.Argument(help="Name of the pool; without one, show what the scaler does.")
    ] = None,
    size: Annotated[int | None, typer.Argument(min=0, max=10_000, help="Agents it shall have.")] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show the reasons of the last decision and changes, and trust in forecasts."),
    ] = False,
    shown: Annotated[str | None, typer.Option("--pool", help="Show this pool alone.")] = None,
    wait: options.Wait = True,
    timeout_s: options.Timeout = 600.0,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Give a pool another size; without one, show the pools' load, what is expected, and what the scaler decides."""
    if (pool is None) != (size is None):
        raise typer.BadParameter("a pool's name and its size go together; --pool shows one pool.", param_hint="SIZE")
    if pool is not None and (explain or shown):
        raise typer.BadParameter("--explain and --pool show; they change no size.")
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        if pool is None or size is None:
            scaling.show(client, terminal, shown, explain=explain)
            return
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
