"""What a command has at hand: the terminal, the fleet's client, the composition root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import typer

from ossa.cli.exit_code import exit_code_of
from ossa.cli.terminal import Terminal
from ossa.contracts.errors import OssaError
from ossa.contracts.events import EventBus
from ossa.sdk.client import Client


class Composition(Protocol):
    """What `ossa up` and `ossa down` do; both return an exit code."""

    def run_up(self, *, agents: int | None, once: bool, detach: bool, port: int | None, json_output: bool) -> int: ...

    def run_down(self, *, json_output: bool) -> int: ...


class Connect(Protocol):
    def __call__(self, url: str | None, api_key: str | None, *, timeout_s: float = ...) -> Client: ...


def _connect(url: str | None, api_key: str | None, *, timeout_s: float = 330.0) -> Client:
    from ossa.sdk.connecting import connect

    return connect(url, api_key, timeout_s=timeout_s)


def _composition() -> Composition:
    return cast(Composition, import_module("ossa.cli.up"))


def _bus() -> EventBus:
    from ossa.app.events import bus_of_settings

    return bus_of_settings()


@dataclass(frozen=True)
class Wiring:
    """Handed to the application as its context object; tests hand in another."""

    connect: Connect = _connect
    composition: Callable[[], Composition] = _composition
    bus: Callable[[], EventBus] = _bus


def wiring(context: typer.Context) -> Wiring:
    found = context.find_object(Wiring)
    return found or Wiring()


@contextmanager
def reporting(*, as_json: bool) -> Iterator[Terminal]:
    """A terminal; an `OssaError` inside becomes a sentence on standard error and an exit code."""
    terminal = Terminal(as_json=as_json)
    try:
        yield terminal
    except OssaError as error:
        terminal.error(error)
        raise typer.Exit(exit_code_of(error)) from error


@contextmanager
def connected(
    context: typer.Context, url: str | None, api_key: str | None, *, as_json: bool
) -> Iterator[tuple[Client, Terminal]]:
    """A client of the fleet the options, the environment or the run file name."""
    with reporting(as_json=as_json) as terminal, wiring(context).connect(url, api_key) as client:
        yield client, terminal
