"""What a command works with: the terminal, the fleet's client, the composition root; and the options they share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, wraps
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, Protocol, cast, get_type_hints

import typer

from ossa.cli.terminal import Terminal, exit_code_of
from ossa.contracts.errors import OssaError
from ossa.contracts.events import EventBus
from ossa.sdk.client import Client

if TYPE_CHECKING:
    from ossa.settings import Settings

P = ParamSpec("P")

Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="Address of the fleet; else OSSA_URL, else the fleet that runs here.", show_default=False
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        help="API key; other users of this machine can see it, OSSA_API_KEY is safer.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, errors too.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the change is through.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")]


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
    from ossa.app.connections import bus_of_settings

    return bus_of_settings()


@dataclass(frozen=True)
class Wiring:
    """Given to the application as its context object; tests give another."""

    connect: Connect = _connect
    composition: Callable[[], Composition] = _composition
    bus: Callable[[], EventBus] = _bus


class Session:
    """One run of a command."""

    def __init__(self, wiring: Wiring, terminal: Terminal, url: str | None, api_key: str | None) -> None:
        self.wiring = wiring
        self.terminal = terminal
        self.as_json = terminal.as_json
        self._fleet = url, api_key

    @cached_property
    def client(self) -> Client:
        """A client of the fleet that the options, the environment or the run file name."""
        return self.wiring.connect(*self._fleet)

    @cached_property
    def settings(self) -> Settings:
        """The settings of this home."""
        from ossa.settings import Settings

        return Settings()

    def close(self) -> None:
        if "client" in self.__dict__:
            self.client.close()


def group(help: str) -> typer.Typer:
    """Returns a command that only holds others."""
    return typer.Typer(help=help, no_args_is_help=True, rich_markup_mode=None)


def fleet_command(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """Makes a command of a function: gives it a session, and the command --url, --api-key and --json."""
    return _command(function, {"url": (Url, None), "api_key": (ApiKey, None), "as_json": (Json, False)})


def local_command(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """`fleet_command` for what needs no fleet that answers: it has --json alone."""
    return _command(function, {"as_json": (Json, False)})


def _command(function: Callable[..., None], shared: dict[str, tuple[Any, Any]]) -> Callable[..., None]:
    hints = get_type_hints(function, include_extras=True)
    _, *own = inspect.signature(function).parameters.values()
    parameters = [
        inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
        *(parameter.replace(annotation=hints[parameter.name]) for parameter in own),
        *(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for name, (annotation, default) in shared.items()
        ),
    ]

    @wraps(function)
    def command(context: typer.Context, **arguments: Any) -> None:
        if context.invoked_subcommand is not None:
            _refuse_options(context)
            return
        options = {name: arguments.pop(name) for name in shared}
        with _session(context, **options) as session:
            function(session, **arguments)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _refuse_options(context: typer.Context) -> None:
    """What is given before the name of a command would be without effect."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise typer.BadParameter(f"options belong after `{context.invoked_subcommand}`.")


@contextmanager
def _session(
    context: typer.Context, *, as_json: bool, url: str | None = None, api_key: str | None = None
) -> Iterator[Session]:
    """An `OssaError` inside becomes a sentence on standard error and an exit code."""
    terminal = Terminal(as_json=as_json)
    session = Session(context.find_object(Wiring) or Wiring(), terminal, url, api_key)
    try:
        yield session
    except OssaError as error:
        terminal.error(error)
        raise typer.Exit(exit_code_of(error)) from error
    finally:
        session.close()
