"""What every catalogue of the memory refuses."""

from __future__ import annotations

from ossa.contracts.errors import Conflict
from ossa.contracts.memory_rows import Draft, MemoryRow


def check_replaced(draft: Draft, old: MemoryRow | None) -> None:
    """Raises `Conflict` where the draft may not take the place of what there is."""
    if draft.if_version is not None and draft.if_version != (old.version if old is not None else 0):
        raise Conflict(
            f"{draft.id} is at version {old.version if old is not None else 0}, not {draft.if_version}.",
            param="if_version",
            details={"version": old.version if old is not None else 0},
        )
    if old is None:
        return
    for field, mine, there in (("kind", draft.kind, old.kind), ("subject", draft.subject, old.subject)):
        if mine != there:
            raise Conflict(f"{draft.id} has another {field}; forget it first, or take another id.", param=field)
