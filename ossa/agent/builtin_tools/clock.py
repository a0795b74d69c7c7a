"""The time now."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ossa.agent.tools import tool


@tool(effects="none")
async def clock(timezone: str = "UTC") -> dict[str, str]:
    """The date and time now, in an IANA time zone such as Europe/Berlin."""
    try:
        zone = UTC if timezone.upper() == "UTC" else ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown time zone {timezone!r}; use an IANA name such as Europe/Berlin") from None
    now = datetime.now(zone)
    return {"time": now.isoformat(timespec="seconds"), "weekday": now.strftime("%A"), "timezone": timezone}
