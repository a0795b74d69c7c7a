"""Three Kafka members, each broker and controller."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scripts.services import Address, ServiceFailed, Services

confluent_kafka = pytest.importorskip(
    "confluent_kafka", reason="left out, not installed: confluent-kafka (make setup-dev)"
)
admin_api = pytest.importorskip("confluent_kafka.admin")

PARTITIONS = 12


@pytest.fixture(scope="module")
def address(services: Services, installed: Callable[[str], None]) -> Address:
    installed("kafka")
    return services.start("kafka", members=3)


@pytest.fixture(scope="module")
def admin(address: Address) -> object:
    return admin_api.AdminClient({"bootstrap.servers": address.dsn})


@pytest.fixture(scope="module")
def topic(admin: object) -> str:
    made = admin.create_topics([admin_api.NewTopic("written", PARTITIONS)])  # type: ignore[attr-defined]
    made["written"].result(30)
    return "written"


def test_three_copies_two_of_which_are_written_before_an_answer(
    admin: object, topic: str, until: Callable[[Callable[[], bool]], float]
) -> None:
    def copies() -> list[int]:
        found = admin.list_topics(topic, timeout=10).topics[topic].partitions  # type: ignore[attr-defined]
        return [len(partition.replicas) for partition in found.values()]

    until(lambda: copies() == [3] * PARTITIONS)
    resource = admin_api.ConfigResource(admin_api.ResourceType.TOPIC, topic)
    settings = admin.describe_configs([resource])[resource].result(10)  # type: ignore[attr-defined]
    assert settings["min.insync.replicas"].value == "2"


def test_a_topic_is_not_made_by_mistake(address: Address, admin: object) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": address.dsn, "message.timeout.ms": 2000})
    failed: list[object] = []
    producer.produce("mistyped", b"x", on_delivery=lambda error, message: failed.append(error))
    producer.flush(20)
    assert failed[0] is not None
    assert "mistyped" not in admin.list_topics(timeout=10).topics  # type: ignore[attr-defined]


def test_another_leads_when_a_leader_is_killed_and_nothing_acknowledged_is_lost(
    services: Services,
    address: Address,
    admin: object,
    topic: str,
    until: Callable[[Callable[[], bool]], float],
    record_property: Callable[[str, object], None],
) -> None:
    acknowledged: list[bytes] = []
    producer = confluent_kafka.Producer({"bootstrap.servers": address.dsn, "acks": "all", "enable.idempotence": True})

    def write(number: int) -> bool:
        """True when it was acknowledged before the next one is written."""
        before = len(acknowledged)
        producer.produce(topic, b"%d" % number, partition=0, on_delivery=delivered)
        producer.flush(30)
        return len(acknowledged) > before

    def delivered(error: object, message: object) -> None:
        if error is None:
            acknowledged.append(message.value())  # type: ignore[attr-defined]

    assert all(write(number) for number in range(20))
    leader = admin.list_topics(topic, timeout=10).topics[topic].partitions[0].leader  # type: ignore[attr-defined]
    services.kill("kafka", f"kafka-{leader}")
    record_property("seconds_without_writes", until(lambda: write(20)))
    assert all(write(number) for number in range(21, 40))
    services.start_member("kafka", f"kafka-{leader}")
    until(lambda: services.problem("kafka") is None)  # it has caught up with what it missed
    assert sorted(read_all(address, topic)) == sorted(acknowledged)


def read_all(address: Address, topic: str) -> list[bytes]:
    """What lies in partition 0."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": address.dsn, "group.id": "test"})
    try:
        partition = confluent_kafka.TopicPartition(topic, 0, 0)
        _, end = consumer.get_watermark_offsets(partition, timeout=10)
        consumer.assign([partition])
        return [message.value() for message in consumer.consume(end, timeout=20)]
    finally:
        consumer.close()


def test_the_number_of_members_is_decided_once(services: Services, address: Address) -> None:
    with pytest.raises(ServiceFailed, match="has 3 members"):
        services.start("kafka", members=5)
    assert services.start("kafka") == address
