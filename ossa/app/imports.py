"""Checks that what settings and packages name for agents and gateways can be imported, before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ossa.agent.hooks import load_hooks
from ossa.agent.tool_registry import ToolRegistry
from ossa.app.extensions import AGENT_HOOKS, installed_agent_hooks, installed_extensions
from ossa.contracts.configuration import FleetSettings
from ossa.contracts.errors import InvalidRequest


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
