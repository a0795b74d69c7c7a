"""What the driver that writes is told, and what its failures become."""

from __future__ import annotations

import ssl

import pytest
from aiokafka import AIOKafkaProducer, errors

from ossa.contracts.configuration import EventSettings
from ossa.contracts.errors import BusUnavailable, TopicUnfit
from ossa.contracts.events import Message
from ossa.stores.kafka.configuration import producing
from ossa.stores.kafka.failure import of_producer
from ossa.stores.kafka.producer import KafkaProducer

SERVERS = "127.0.0.1:1"
SETTINGS = EventSettings(bootstrap_servers=SERVERS, publish_timeout_s=0.5)


def test_nothing_times_out_alone_before_the_whole_batch_does() -> None:
    told = producing(SETTINGS, SERVERS)
    assert told["request_timeout_ms"] > SETTINGS.publish_timeout_s * 1000
    assert (told["acks"], told["enable_idempotence"]) == ("all", True)
    assert "ssl_context" not in told and "sasl_mechanism" not in told


def test_a_kafka_that_asks_who_is_there_is_told() -> None:
    settings = SETTINGS.model_copy(
        update=EventSettings(
            bootstrap_servers=SERVERS, security_protocol="SASL_SSL", sasl_user="fleet", sasl_password="sesame"
        ).model_dump(include={"security_protocol", "sasl_user", "sasl_password"})
    )
    told = producing(settings, SERVERS)
    assert (told["sasl_mechanism"], told["sasl_plain_username"]) == ("SCRAM-SHA-512", "fleet")
    assert told["sasl_plain_password"] == "sesame"
    assert isinstance(told["ssl_context"], ssl.SSLContext)
    assert told["ssl_context"].verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (errors.UnknownTopicOrPartitionError(), TopicUnfit, "no such topic"),
        (errors.AuthenticationFailedError("fleet: sesame"), BusUnavailable, "OSSA_EVENTS__SASL_USER"),
        (errors.TopicAuthorizationFailedError("ossa.events"), BusUnavailable, "OSSA_EVENTS__SASL_USER"),
        (errors.KafkaConnectionError("host fleet:sesame"), BusUnavailable, "KafkaConnectionError"),
        (OSError("sesame"), BusUnavailable, "OSError"),
    ],
)
def test_a_failure_says_what_to_look_at_and_no_secret(error: Exception, kind: type[Exception], said: str) -> None:
    found = of_producer(error)
    assert isinstance(found, kind)
    assert said in str(found)
    assert "sesame" not in str(found)


async def test_where_nobody_listens_the_bus_is_unavailable_and_the_next_batch_is_tried_anew() -> None:
    producer = KafkaProducer(producing(SETTINGS, SERVERS), timeout_s=SETTINGS.publish_timeout_s)
    for _ in range(2):
        with pytest.raises(BusUnavailable) as caught:
            await producer.publish([Message("ossa.events", "task", b"{}")])
        assert caught.value.retry_after_s is not None
    await producer.close()


@pytest.mark.parametrize("named", ["gzip", "lz4", "snappy", "zstd"])
async def test_batches_are_compressed_where_that_is_asked_for_alone(named: str) -> None:
    assert producing(SETTINGS, SERVERS)["compression_type"] is None
    asked = EventSettings.model_validate({"bootstrap_servers": SERVERS, "compression": named})
    producer = AIOKafkaProducer(**producing(asked, SERVERS))  # raises where its codec is not installed
    assert producer._compression_type
