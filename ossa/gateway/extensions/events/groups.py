"""Consumer groups of the fact log: how far they are, and where they are put."""

from __future__ import annotations

from datetime import datetime

from ossa.contracts.errors import InvalidRequest, NotFound
from ossa.contracts.events import Event, FactLog, GroupPosition
from ossa.events.log_bus import DEAD_TOPIC
from ossa.events.reading import cursor_of, offset_at, offset_of, time_of
from ossa.gateway.extensions.events.schemas import GroupView

_CURSOR_BEGINS = "f"


async def groups_of(log: FactLog) -> list[GroupView]:
    """All groups, by name. Raises `StoreUnavailable`."""
    groups: dict[str, list[GroupPosition]] = {}
    for position in await log.positions():
        groups.setdefault(position.group, []).append(position)
    return [await _view(log, group, shares) for group, shares in sorted(groups.items()) if not _of_replay(group)]


async def seek(log: FactLog, group: str, to: str) -> GroupView:
    """Put a group to a place; its readers notice at their next commit.

    Raises `NotFound` for a group that nobody has read for, `InvalidRequest` for a place that cannot be read,
    `StoreUnavailable`.
    """
    known = {view.group for view in await groups_of(log)}
    if group not in known:
        names = ", ".join(sorted(known)) or "none"
        raise NotFound(f"There is no consumer group {group[:64]!r} in the fact log; there are: {names}.", param="group")
    await log.seek(group, await _offset(log, to))
    return next(view for view in await groups_of(log) if view.group == group)


async def _offset(log: FactLog, to: str) -> int:
    if to == "oldest":
        return 0
    if to == "newest":
        return await log.settled()
    if to.startswith(_CURSOR_BEGINS):
        return min(offset_of(to, param="to"), await log.settled())
    try:
        return await offset_at(log, time_of(to, param="to"))
    except InvalidRequest:
        raise InvalidRequest(
            f"to: {to!r} is no place; write oldest, newest, 2026-01-31T12:00:00Z, 2h (ago), or a cursor.", param="to"
        ) from None


async def _view(log: FactLog, group: str, shares: list[GroupPosition]) -> GroupView:
    last = min(share.offset for share in shares)
    return GroupView(
        group=group,
        shards=len(shares),
        members=sorted({share.owner for share in shares if share.owner}),
        waiting=await log.count(last),
        position=cursor_of(last),
        waiting_since=await _first_time(log, last),
    )


async def _first_time(log: FactLog, offset: int) -> datetime | None:
    page = await log.read(offset, limit=1)
    return next((item.content.time for item in page.items if isinstance(item.content, Event)), None)


def _of_replay(group: str) -> bool:
    """Whether it only marks which dead letters were put back."""
    return group == f"{DEAD_TOPIC}.replay"
