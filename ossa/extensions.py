"""What a package needs to extend the gateway. The rest of `ossa.gateway` may change between versions.

    from ossa.extensions import Extension, GatewayCore, TaskHook

    class OnlyByDay(TaskHook):
        async def admit(self, task, caller):
            if not 8 <= datetime.now().hour < 20:
                raise Forbidden("Come back by day.")

    def extension(core: GatewayCore) -> Extension:
        return Extension("only-by-day", hooks=[OnlyByDay()])

The package names the function under the entry point group `ossa.extensions` (docs/extensions.md).
"""

from ossa.contracts.errors import (
    Conflict,
    FleetBusy,
    Forbidden,
    InvalidRequest,
    NotFound,
    NotReady,
    OssaError,
    StoreUnavailable,
)
from ossa.contracts.events import Event
from ossa.contracts.task import NewTask, Outcome, Step, Task
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.events.consumer import Consumer
from ossa.gateway.api.request import authenticate
from ossa.gateway.context import GatewayContext, context_of
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Check, Extension, Run, TaskHook, TaskState
from ossa.routing import Conditions, FleetIndex
from ossa.routing.index import RoutingRequest

__all__ = [
    "Check",
    "Conditions",
    "Conflict",
    "Consumer",
    "Event",
    "Extension",
    "FleetBusy",
    "FleetIndex",
    "Forbidden",
    "GatewayContext",
    "GatewayCore",
    "InvalidRequest",
    "NewTask",
    "NotFound",
    "NotReady",
    "OssaError",
    "Outcome",
    "RoutingRequest",
    "Run",
    "Step",
    "StoreUnavailable",
    "Task",
    "TaskHook",
    "TaskState",
    "TurnCall",
    "TurnCallResult",
    "authenticate",
    "context_of",
]
