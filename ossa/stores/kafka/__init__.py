"""Events over Kafka, by librdkafka. Nothing else imports its driver."""

from ossa.stores.kafka.bus import KafkaBus

__all__ = ["KafkaBus"]
