"""`{TEMPORAL:time:ZONE:now}`: what time it is; the zone is `utc` or a name such as `Europe/Berlin`.

now (ISO 8601, seconds), date, time, weekday, week (ISO), unix
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from ossa.contracts.errors import NotFound
from ossa.vortex.exchange.call import ResolveCall
from ossa.vortex.exchange.placeholder import PlaceholderType
from ossa.vortex.exchange.resolvers.fields import Fields, read

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

FIELDS: Fields[datetime] = {
    PlaceholderType.TEMPORAL: {
        "now": lambda now: now.isoformat(timespec="seconds"),
        "date": lambda now: now.date().isoformat(),
        "time": lambda now: now.time().isoformat(timespec="seconds"),
        "weekday": lambda now: _WEEKDAYS[now.weekday()],
        "week": lambda now: now.strftime("%G-W%V"),
        "unix": lambda now: str(int(now.timestamp())),
    }
}


async def resolve_time(call: ResolveCall) -> str:
    """By the exchange's clock, at the moment of the call. Raises `NotFound`."""
    return read(FIELDS, call.placeholder, call.now.astimezone(_zone(call.placeholder.scope)))


def _zone(name: str) -> tzinfo:
    if name.lower() == "utc":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise NotFound(f"there is no time zone {name}") from None
