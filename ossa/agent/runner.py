"""From an assignment to the runner of its turns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ossa.agent.limits import DEFAULT_TIMEOUT_S
from ossa.agent.tool_registry import ReadStatus, ToolRegistry
from ossa.agent.turn import AgentTurn
from ossa.contracts.agent_spec import Tier
from ossa.contracts.clock import Clock
from ossa.contracts.configuration import Endpoint, Models, VortexSettings
from ossa.contracts.model import ModelClient
from ossa.contracts.task import Assignment
from ossa.models.clients import ModelClients
from ossa.models.tiers import Choice, choose_endpoint

log = logging.getLogger("ossa.agent")


def build_runner(
    assignment: Assignment,
    *,
    models: Models,
    clients: Callable[[Endpoint], ModelClient],
    tools: ToolRegistry,
    vortex: VortexSettings | None = None,
    clock: Clock | None = None,
    default_timeout_s: float = DEFAULT_TIMEOUT_S,
) -> AgentTurn:
    """The runner of this agent's turns.

    The manifest's tools that are not on the allow-list are left out and
    reported once, here. Without `vortex` all contents go to the model whole.
    Raises `NotReady` when no model endpoint is configured.
    """
    bound = tools.bind(assignment.spec.tools)
    if bound.missing:
        log.warning(
            "tools_not_allowed",
            extra={"agent_id": assignment.agent_id, "manifest": assignment.spec.name, "tools": list(bound.missing)},
        )
    choice = choose_endpoint(models, assignment.spec.model)

    def of_tier(tier: Tier) -> tuple[Choice, ModelClient] | None:
        endpoint = models.tiers.get(tier)
        return None if endpoint is None else (Choice(tier=tier, endpoint=endpoint), clients(endpoint))

    return AgentTurn(
        assignment,
        choice=choice,
        client=clients(choice.endpoint),
        of_tier=of_tier,
        tools=bound,
        vortex=vortex,
        clock=clock,
        default_timeout_s=default_timeout_s,
    )


class RunnerFactory:
    """Assignment -> runner, in any process: it pickles, and loads tools and clients where it is first called.

    `fleet_status` (picklable) is what the tool of that name reads; without it there is no such tool.
    Calling the factory raises what `build_runner` and `ToolRegistry.load` raise.
    """

    def __init__(
        self,
        models: Models,
        *,
        tool_modules: Sequence[str] = (),
        default_timeout_s: float = DEFAULT_TIMEOUT_S,
        fleet_status: ReadStatus | None = None,
        vortex: VortexSettings | None = None,
    ) -> None:
        self._models = models
        self._vortex = vortex
        self._tool_modules = tuple(tool_modules)
        self._default_timeout_s = default_timeout_s
        self._fleet_status = fleet_status
        self._tools: ToolRegistry | None = None
        self._clients: ModelClients | None = None

    def __reduce__(self) -> tuple[object, ...]:
        given = (self._models, self._tool_modules, self._default_timeout_s, self._fleet_status, self._vortex)
        return (_factory, given)

    def warm(self) -> None:
        """Load the tools now, so that a standby's assignment is quick."""
        if self._tools is None:
            self._tools = ToolRegistry.load(self._tool_modules, fleet_status=self._fleet_status)
        if self._clients is None:
            self._clients = ModelClients()

    def __call__(self, assignment: Assignment) -> AgentTurn:
        self.warm()
        assert self._tools is not None
        assert self._clients is not None
        return build_runner(
            assignment,
            models=self._models,
            clients=self._clients,
            tools=self._tools,
            vortex=self._vortex,
            default_timeout_s=self._default_timeout_s,
        )


def _factory(
    models: Models,
    tool_modules: Sequence[str],
    default_timeout_s: float,
    fleet_status: ReadStatus | None,
    vortex: VortexSettings | None,
) -> RunnerFactory:
    return RunnerFactory(
        models,
        tool_modules=tool_modules,
        default_timeout_s=default_timeout_s,
        fleet_status=fleet_status,
        vortex=vortex,
    )
