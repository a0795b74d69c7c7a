"""The event bus that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossa.settings import Settings, WrongSetting

if TYPE_CHECKING:
    from ossa.contracts.configuration import EventSettings
    from ossa.contracts.events import EventBus


def event_bus(settings: EventSettings) -> EventBus | None:
    """None where nothing is told."""
    if not settings.emits_events:
        return None
    # A tenth of a second to import, for those alone who use it.
    from ossa.stores.kafka import KafkaBus

    return KafkaBus(settings)


def bus_of_settings() -> EventBus:
    """For a command that talks to Kafka itself. Raises `WrongSetting` where no Kafka is named."""
    settings = Settings().events
    if not settings.bootstrap_servers:
        raise WrongSetting(
            "OSSA_EVENTS__BOOTSTRAP_SERVERS: set it to the Kafka's HOST:PORT; `ossa events status` shows that of a mock"
        )
    bus = event_bus(settings)
    if bus is None:
        raise WrongSetting("OSSA_EVENTS__ENABLED: it is false, so there are no events")
    return bus
