"""The allow-list: which tools there are in this process, and which of them a manifest gets."""

from __future__ import annotations

import importlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ossa.agent.builtin_tools import BUILTIN_TOOLS, builtin_tool
from ossa.agent.tools import Tool
from ossa.contracts.agent_spec import ToolRef

ReadStatus = Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
"""Reads the fleet's state for the tool `fleet_status`."""

_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")


class BoundTools(NamedTuple):
    """A manifest's tools that may run, by the name the model calls them; `missing` are not on the allow-list."""

    tools: Mapping[str, Tool]
    configs: Mapping[str, dict[str, Any]]
    missing: tuple[str, ...]


class ToolRegistry:
    """Tools by name. `ToolRegistry.load(modules)` is what a process starts with."""

    def __init__(self, allow: Iterable[Tool]) -> None:
        """Raises `ValueError` when two tools share a name (`-`, `_`, `.` and case make no difference)."""
        self._tools: dict[str, Tool | str] = {}
        """A string is the name of a built-in tool that nobody needed yet."""
        for each in allow:
            self._add(each.name, each)

    def _add(self, name: str, tool: Tool | str) -> None:
        if self._tools.setdefault(_key(name), tool) is not tool:
            raise ValueError(f"two tools are named {name!r}")

    @classmethod
    def load(cls, modules: Sequence[str] = (), *, fleet_status: ReadStatus | None = None) -> ToolRegistry:
        """The built-in tools and those in each module's `TOOLS`.

        Raises `ImportError` for a module that cannot be imported, `TypeError`
        for one whose `TOOLS` are absent or no `Tool`s, `ValueError` for a name taken.
        """
        registry = cls(each for name in modules for each in _tools_of(name))
        for name in BUILTIN_TOOLS:
            registry._add(name, name)
        if fleet_status is not None:
            from ossa.agent.builtin_tools.fleet_status import fleet_status_tool

            registry._add("fleet_status", fleet_status_tool(fleet_status))
        return registry

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each if isinstance(each, str) else each.name for each in self._tools.values())

    def bind(self, refs: Sequence[ToolRef]) -> BoundTools:
        """Looks up a manifest's tools."""
        tools: dict[str, Tool] = {}
        configs: dict[str, dict[str, Any]] = {}
        missing: list[str] = []
        for ref in refs:
            tool = self._tool(_key(ref.name))
            if tool is None:
                missing.append(ref.name)
            else:
                tools[tool.name], configs[tool.name] = tool, ref.config
        return BoundTools(tools, configs, tuple(missing))

    def _tool(self, key: str) -> Tool | None:
        tool = self._tools.get(key)
        if isinstance(tool, str):
            tool = self._tools[key] = builtin_tool(tool)
        return tool


def _key(name: str) -> str:
    return _SEPARATORS.sub("_", name).strip("_").lower()


def _tools_of(name: str) -> list[Tool]:
    tools = getattr(importlib.import_module(name), "TOOLS", None)
    if tools is None:
        raise TypeError(f"the tool module {name} has no TOOLS")
    for tool in tools:
        if not isinstance(tool, Tool):
            raise TypeError(f"TOOLS of {name} holds {tool!r}, which is no Tool (see ossa.agent.tool)")
    return list(tools)
