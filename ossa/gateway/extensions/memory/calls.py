"""The memory as agents' turns use it: of the task's tenant, and what they ask for is checked here."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ossa.contracts.errors import InvalidRequest, NotReady
from ossa.contracts.memory import Memory, MemoryItem, NewMemory, Recall
from ossa.contracts.turn import TurnCall


async def answer_from_memory(memory: Memory | None, ask: TurnCall, *, tenant: str) -> tuple[dict[str, Any], ...]:
    """Raises `NotReady` without a memory, `InvalidRequest`, and what the memory raises."""
    if memory is None:
        raise NotReady("this gateway has no memory")
    try:
        new = NewMemory.model_validate(ask.remember) if ask.remember is not None else None
        query = Recall.model_validate(ask.recall or {})
    except ValidationError as error:
        fault = error.errors()[0]
        raise InvalidRequest(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    if new is not None:
        return (_shown(await memory.remember(new, tenant=tenant)),)
    return tuple(_shown(one.item) for one in await memory.find(query, tenant=tenant))


def _shown(item: MemoryItem) -> dict[str, Any]:
    """What a model needs of it."""
    return {
        "id": item.id,
        "content": item.content,
        "about": item.subject,
        "kind": item.kind,
        "at": item.updated_at.isoformat(timespec="seconds"),
    }
