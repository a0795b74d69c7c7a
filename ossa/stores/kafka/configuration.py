"""What librdkafka is told."""

from __future__ import annotations

import logging
from typing import Any

from ossa.contracts.configuration import EventSettings

logger = logging.getLogger("ossa.stores.kafka")

Configuration = dict[str, Any]

_COMMON: Configuration = {
    "client.id": "ossa",
    "socket.keepalive.enable": True,
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 1000,
    "log.connection.close": False,
}

_PRODUCER: Configuration = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 0.5,
    "socket.nagle.disable": True,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",  # as Java's clients choose, so that others' messages of a task join it
    "message.timeout.ms": 0,  # a batch has one deadline, ours: a message that timed out alone would leave a gap
}

_CONSUMER: Configuration = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 2_000,
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 20,
    "queued.min.messages": 10_000,
}


_OF_THE_MOCK: Configuration = {"session.timeout.ms": 4_000, "heartbeat.interval.ms": 500}
"""It does not hear of a member's leaving, and waits for the end of its session; a group's beginning takes it 3 s."""


def common(settings: EventSettings, servers: str) -> Configuration:
    found = {
        **_COMMON,
        "bootstrap.servers": servers,
        "security.protocol": settings.security_protocol,
        "logger": logger,
    }
    if settings.sasl_user:
        found["sasl.mechanism"] = settings.sasl_mechanism
        found["sasl.username"] = settings.sasl_user
        found["sasl.password"] = settings.sasl_password.get_secret_value()
    if settings.ca_file:
        found["ssl.ca.location"] = settings.ca_file
    return found


def producing(settings: EventSettings, servers: str) -> Configuration:
    return {**common(settings, servers), **_PRODUCER}


def consuming(settings: EventSettings, servers: str, group: str) -> Configuration:
    found = {**common(settings, servers), **_CONSUMER, "group.id": group}
    return {**found, **_OF_THE_MOCK} if settings.mock else found
