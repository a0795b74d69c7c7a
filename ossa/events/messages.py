"""Events as messages of a bus, and back: CloudEvents' structured mode."""

from __future__ import annotations

import orjson
from pydantic import ValidationError

from ossa.contracts.errors import InvalidRequest
from ossa.contracts.events import CONTENT_TYPE, Event, Message, Received

EVENT_HEADERS = {"content-type": CONTENT_TYPE}


def message_of(event: Event, topic: str) -> Message:
    """Keyed by the event's key, so that events with one key share a partition and keep their order."""
    return Message(topic, event.partitionkey, orjson.dumps(vars(event)), EVENT_HEADERS)


def event_of(received: Received) -> Event:
    """Raises `InvalidRequest` for what is no event; it says where, and shows none of the content."""
    if received.event is not None:
        return received.event
    try:
        return Event.model_validate_json(received.value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, found["loc"])) or "the whole"
        raise InvalidRequest(f"not an event: {place}: {found['msg']}", param=place) from None
