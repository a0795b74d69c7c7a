"""What a Kafka cluster says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_ANSWER_S = 3.0


@dataclass(frozen=True, slots=True)
class Metadata:
    """`brokers` holds `host:port` of those that have joined and are not fenced."""

    brokers: frozenset[str]
    lacking_copies: int
    """Partitions of which not all copies are in sync."""


def metadata(bootstrap: Sequence[str]) -> Metadata | str:
    """The reason, when nobody can be asked."""
    try:
        found = _client(",".join(bootstrap)).list_topics(timeout=_ANSWER_S)
    except KafkaException as error:
        return str(error.args[0].str())
    partitions = [partition for topic in found.topics.values() for partition in topic.partitions.values()]
    return Metadata(
        frozenset(f"{broker.host}:{broker.port}" for broker in found.brokers.values()),
        sum(len(partition.isrs) < len(partition.replicas) for partition in partitions),
    )


@lru_cache(maxsize=4)
def _client(bootstrap: str) -> AdminClient:
    """One for many questions: a client has threads and connections of its own."""
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200})
