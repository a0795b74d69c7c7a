"""Makes the runner of an assignment's turns, in any process."""

from __future__ import annotations

from collections.abc import Sequence

from ossa.agent.hooks import load_hooks
from ossa.agent.limits import DEFAULT_TIMEOUT_S
from ossa.agent.tools import ReadStatus, ToolRegistry
from ossa.agent.turn import AgentTurn
from ossa.contracts.agent_hooks import AgentHook
from ossa.contracts.configuration import Models, VortexSettings
from ossa.contracts.task import Assignment
from ossa.models.client import ModelClients


class RunnerFactory:
    """Assignment -> runner, in any process: it pickles, and loads tools, hooks and clients where it is first called.

    `fleet_status` (picklable) is what the tool of that name reads; without it there is no such tool.
    `agent_hooks` are import paths (`ossa.contracts.agent_hooks`), outermost first.
    Calling the factory raises what `AgentTurn`, `ToolRegistry.load` and `load_hooks` raise.
    """

    def __init__(
        self,
        models: Models,
        *,
        tool_modules: Sequence[str] = (),
        default_timeout_s: float = DEFAULT_TIMEOUT_S,
        fleet_status: ReadStatus | None = None,
        vortex: VortexSettings | None = None,
        agent_hooks: Sequence[str] = (),
    ) -> None:
        self._models = models
        self._vortex = vortex
        self._tool_modules = tuple(tool_modules)
        self._agent_hooks = tuple(agent_hooks)
        self._default_timeout_s = default_timeout_s
        self._fleet_status = fleet_status
        self._loaded: tuple[ToolRegistry, tuple[AgentHook, ...], ModelClients] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_loaded": None}

    def warm(self) -> None:
        """Load tools and hooks now, so that a standby's assignment is quick."""
        if self._loaded is None:
            tools = ToolRegistry.load(self._tool_modules, fleet_status=self._fleet_status)
            self._loaded = tools, load_hooks(self._agent_hooks), ModelClients()

    def __call__(self, assignment: Assignment) -> AgentTurn:
        self.warm()
        assert self._loaded is not None
        tools, hooks, clients = self._loaded
        return AgentTurn(
            assignment,
            models=self._models,
            clients=clients,
            tools=tools,
            vortex=self._vortex,
            default_timeout_s=self._default_timeout_s,
            hooks=hooks,
        )
