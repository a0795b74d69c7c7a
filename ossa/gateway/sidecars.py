"""The side-cars of a gateway. A fleet whose settings do not enable one has no such deployment and pays nothing."""

from __future__ import annotations

from ossa.gateway.sidecar import Sidecar

VORTEX = Sidecar("vortex", "The compression service", {"compress": 120.0, "decompress": 120.0}, ongoing=32)

ANSWERS = Sidecar("answers", "The answer cache", {"look_up": 10.0, "keep": 10.0, "forget": 10.0, "counters": 10.0})
"""One replica owns the index."""

MEMORY = Sidecar(
    "memory",
    "The memory",
    {
        **dict.fromkeys(("remember", "recall", "find", "grant", "revoke", "grants"), 30.0),
        "forget": 300.0,  # a person's memories, or a tenant's, may be many
    },
)

SIDECARS = (VORTEX, ANSWERS, MEMORY)
