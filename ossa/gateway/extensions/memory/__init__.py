"""What agents remember: routes for users, and calls of turns."""

from __future__ import annotations

from ossa.contracts.memory import Memory
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.memory import api
from ossa.gateway.extensions.memory.calls import answer_from_memory
from ossa.gateway.extensions.memory.schemas import MEMORY_MODELS
from ossa.gateway.hooks import Extension, Run, TaskHook

NAME = "memory"


class MemoryHook(TaskHook):
    """Answers `remember` and `recall` of turns, for the task's tenant."""

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory

    async def call(self, call: TurnCall, run: Run) -> TurnCallResult | None:
        if call.remember is None and call.recall is None:
            return None
        return TurnCallResult(memories=await answer_from_memory(self._memory, call, tenant=run.task.tenant))


def extension(core: GatewayCore, *, memory: Memory | None) -> Extension:
    """`memory`: None makes its routes and its calls `NotReady`."""
    return Extension(
        NAME, hooks=[MemoryHook(memory)], routers=[api.router], schemas=tuple(MEMORY_MODELS.values()), service=memory
    )
