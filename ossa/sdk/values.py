"""The import paths of received values in earlier versions. They go with the next one."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import Any

_OLD = (
    "answer compression cost events fleet health key listing memory operation received route routing scaling task usage"
)
_HOMES = ("chat", "cost", "fleet", "fleet_calls", "keys", "memory", "received", "routing", "scaling", "tasks")
_CONTRACTS = {
    "Bus": "events.BusStatus", "EventStatus": "events.EventStatus",
    "Dropped": "compression.LeftOut", "Failure": "task.ErrorInfo", "Key": "access.ApiKey",
    "MemoryGrant": "memory.Grant", "Outbox": "events.OutboxStatus", "PlaceProof": "memory.TierProof",
    "PoolSample": "scaling.PoolSample", "PoolStanding": "scaling.PoolStatus", "Remembered": "memory.MemoryItem",
    "RouterModel": "routing.ModelRecord", "Serving": "routing.ModelStatus",
}  # fmt: skip

sys.modules |= {f"{__name__}.{module}": sys.modules[__name__] for module in _OLD.split()}


def __getattr__(name: str) -> Any:
    module, _, now = _CONTRACTS.get(name, "").partition(".")
    homes = [f"ossa.contracts.{module}"] if module else [f"ossa.sdk.{home}" for home in _HOMES]
    home = next((home for home in map(import_module, homes) if hasattr(home, now or name)), None)
    if home is None or name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{__name__}: {name} is {home.__name__}.{now or name} now.", DeprecationWarning, stacklevel=2)
    return getattr(home, now or name)
