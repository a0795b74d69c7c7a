"""Events."""

from __future__ import annotations

from ossa.sdk.call import Call, Request
from ossa.sdk.values.events import EventStatus

PATH = "/api/v1/events/status"


def status() -> Call[EventStatus]:
    return Call(Request("GET", PATH), lambda response: EventStatus.model_validate(response.json()))
