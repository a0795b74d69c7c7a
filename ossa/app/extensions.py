"""The extensions of a gateway replica: one line each, in the order in which their hooks run.

Packages bring more: an entry point of the group `ossa.extensions` names a function that takes the
`ossa.gateway.core.GatewayCore` and returns an `ossa.gateway.hooks.Extension` (docs/extensions.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from ossa.agent.hooks import load_hooks
from ossa.agent.tools import ToolRegistry
from ossa.contracts.answers import Answers
from ossa.contracts.cache import CacheStore
from ossa.contracts.compression import Compressor
from ossa.contracts.configuration import EventSettings, FleetSettings
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.memory import Memory
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions import (
    agent_history,
    answers,
    daily_usage,
    events,
    fact_metrics,
    history,
    memory,
    optimiser,
    routing,
    spending,
    traffic,
    vortex,
)
from ossa.gateway.hooks import Extension

ENTRY_POINTS = "ossa.extensions"
AGENT_HOOKS = "ossa.agent_hooks"

SYSTEMS: tuple[str, ...] = ()
"""Further systems of this package: modules that offer `extension(core)`. A new system is one line here."""

MakeExtension = Callable[[GatewayCore], Extension]


@dataclass(frozen=True)
class Backends:
    """What some extensions work with. None: the feature is off in this fleet.

    Attributes:
        cache: values that replicas share.
        models: what stands behind the tiers, as a digest; answers of other models are not served.
        history_days: ended tasks stay so long.
    """

    compressor: Compressor | None = None
    cache: CacheStore | None = None
    answers: Answers | None = None
    memory: Memory | None = None
    models: str = ""
    events: EventSettings = field(default_factory=EventSettings)
    history_days: float = 30


def extensions_of(
    core: GatewayCore, backends: Backends, *, installed: Iterable[MakeExtension] | None = None
) -> list[Extension]:
    """Returns the extensions of a replica, this package's first.

    Args:
        installed: those of other packages; None finds their entry points.

    Raises:
        InvalidRequest: an installed extension cannot be loaded; the message names it.
    """
    return [
        traffic.extension(core),
        routing.extension(core),
        spending.extension(core),
        daily_usage.extension(core),
        answers.extension(core, answers=backends.answers, models=backends.models),
        vortex.extension(core, compressor=backends.compressor, cache=backends.cache, memory=backends.memory),
        memory.extension(core, memory=backends.memory),
        optimiser.extension(core),
        history.extension(core, keep_days=backends.history_days),
        events.extension(core, settings=backends.events),
        agent_history.extension(core, keep_days=backends.history_days),
        fact_metrics.extension(core),
        *(import_module(name).extension(core) for name in SYSTEMS),
        *(make(core) for make in (installed_extensions() if installed is None else installed)),
    ]


def installed_extensions() -> list[MakeExtension]:
    """The extensions of installed packages, by name. Raises `InvalidRequest` that names a broken one."""
    return [_load(point) for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)]


def installed_agent_hooks() -> tuple[str, ...]:
    """Import paths of the agent hooks of installed packages, by name. They are loaded in the agents' processes."""
    return tuple(point.value for point in sorted(entry_points(group=AGENT_HOOKS), key=lambda point: point.name))


def _load(point: EntryPoint) -> MakeExtension:
    try:
        make: MakeExtension = point.load()
    except Exception as error:
        raise InvalidRequest(
            f"The extension {point.name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {error}. "
            "Repair or uninstall its package.",
            param=ENTRY_POINTS,
        ) from error
    if not callable(make):
        raise InvalidRequest(f"The extension {point.name!r} ({point.value}) is no function.", param=ENTRY_POINTS)
    return make


def check_imports(settings: FleetSettings) -> None:
    """Raises `InvalidRequest` that names the setting or the package. Agents with a wrong one would never be ready."""
    _check(ToolRegistry.load, settings.tool_modules, "fleet.tool_modules", "OSSA_FLEET__TOOL_MODULES")
    _check(load_hooks, settings.agent_hooks, "fleet.agent_hooks", "OSSA_FLEET__AGENT_HOOKS")
    _check(load_hooks, installed_agent_hooks(), AGENT_HOOKS, f"the entry point group {AGENT_HOOKS} of a package")
    installed_extensions()


def _check(load: Callable[[Sequence[str]], object], names: Sequence[str], param: str, source: str) -> None:
    try:
        load(names)
    except Exception as error:
        raise InvalidRequest(
            f"{source} names {', '.join(names)}: {type(error).__name__}: {error}. "
            "Correct the name, or install its package on every node.",
            param=param,
        ) from error
