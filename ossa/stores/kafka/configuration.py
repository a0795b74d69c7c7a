"""Configures the drivers: librdkafka reads and administers, aiokafka writes. Also starts the mock broker."""

from __future__ import annotations

import logging
import ssl
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from ossa.contracts.configuration import EventSettings
from ossa.contracts.errors import BusUnavailable, InvalidRequest
from ossa.stores.kafka.failure import translated

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
    "enable_idempotence": True,
    "acks": "all",
    "max_batch_size": 500_000,  # of a partition, before it is compressed; a broker takes 1 MiB
    "max_request_size": 1_000_000,
}
"""aiokafka's. Its partitioner chooses as Java's clients do, so that others' messages of a task join it."""

_GRACE_S = 5.0
"""A batch has one deadline, ours: a message that timed out alone, before it, would leave a gap."""

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
    """Raises `InvalidRequest` for a file that is not there, as the others here do."""
    _look_for_files(settings)
    configuration = {
        **_COMMON,
        "bootstrap.servers": servers,
        "security.protocol": settings.security_protocol,
        "logger": logger,
    }
    if settings.sasl_user:
        configuration["sasl.mechanism"] = settings.sasl_mechanism
        configuration["sasl.username"] = settings.sasl_user
        configuration["sasl.password"] = settings.sasl_password.get_secret_value()
    if settings.ca_file:
        configuration["ssl.ca.location"] = settings.ca_file
    if settings.certificate_file:
        configuration["ssl.certificate.location"] = settings.certificate_file
        configuration["ssl.key.location"] = settings.key_file or settings.certificate_file
    return configuration


def producing(settings: EventSettings, servers: str) -> Configuration:
    _look_for_files(settings)
    configuration: Configuration = {
        **_PRODUCER,
        "client_id": "ossa",
        "bootstrap_servers": servers,
        "security_protocol": settings.security_protocol,
        "compression_type": None if settings.compression == "none" else settings.compression,
        "request_timeout_ms": round((settings.publish_timeout_s + _GRACE_S) * 1000),
    }
    if settings.sasl_user:
        configuration["sasl_mechanism"] = settings.sasl_mechanism
        configuration["sasl_plain_username"] = settings.sasl_user
        configuration["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    if settings.security_protocol.endswith("SSL"):
        configuration["ssl_context"] = _tls(settings)
    return configuration


def consuming(settings: EventSettings, servers: str, group: str) -> Configuration:
    configuration = {**common(settings, servers), **_CONSUMER, "group.id": group}
    return {**configuration, **_OF_THE_MOCK} if settings.mock else configuration


def _tls(settings: EventSettings) -> ssl.SSLContext:
    setting = "ca_file"
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.certificate_file:
            setting = "certificate_file"
            # An empty password: for a key that wants one, OpenSSL would ask whoever sits at the terminal.
            context.load_cert_chain(settings.certificate_file, settings.key_file or None, password="")
    except OSError as error:
        said = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise InvalidRequest(
            f"OSSA_EVENTS__{setting.upper()} cannot be used, or its key ({said}).", param=f"events.{setting}"
        ) from error
    return context


def _look_for_files(settings: EventSettings) -> None:
    for setting in ("ca_file", "certificate_file", "key_file"):
        path = getattr(settings, setting)
        if path and not Path(path).is_file():
            raise InvalidRequest(f"OSSA_EVENTS__{setting.upper()}: {path} is no file.", param=f"events.{setting}")


REMARKS = (
    "a mock: its records end with the process, and old ones vanish before",
    "one copy of each, in 4 partitions, whatever the settings say; topics are not checked",
)

_START_S = 10.0


class MockBroker:
    """Lives until `close`, or with this process. Other processes may use its address. Blocking."""

    def __init__(self) -> None:
        with translated():
            self._owner: Producer | None = Producer({"test.mock.num.brokers": 1, "log_level": 3})
            self.address = self._find(self._owner)
        logger.warning("kafka_mock_started", extra={"address": self.address, "keeps": "nothing"})

    def close(self) -> None:
        self._owner = None

    @staticmethod
    def _find(owner: Producer) -> str:
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            for broker in owner.list_topics(timeout=_START_S).brokers.values():
                return f"{broker.host}:{broker.port}"
        raise BusUnavailable("The mock broker did not start.")
