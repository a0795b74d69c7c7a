"""Checks that Kafka can be reached and that its topics are as the settings say. Blocking: for a thread.

The driver that writes tells nobody why no broker is reached, and librdkafka tells it beside its answers.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from ossa.contracts.configuration import EventSettings
from ossa.contracts.errors import OssaError, TopicUnfit
from ossa.stores.kafka.configuration import Configuration
from ossa.stores.kafka.failure import hung_up, is_telling, names_protocol, ours, translated

_ANSWER_S = 10.0
_LEADERS_S = 20.0
_MIN_INSYNC = "min.insync.replicas"
_COMMAND = "kafka-topics.sh --bootstrap-server"


@dataclass(frozen=True)
class Wanted:
    """A topic, and what it must be at least. `setting` names it, and `partitions_setting` what says how many."""

    name: str
    partitions: int
    setting: str
    partitions_setting: str = "OSSA_EVENTS__PARTITIONS"


def ensure_topics(settings: EventSettings, configuration: Configuration, servers: str) -> None:
    """Check the topics, and make missing ones where `create_topics` allows it.

    Raises `TopicUnfit` with the command that puts it right, `BusUnavailable`.
    """
    with translated():
        admin = AdminClient(configuration)
    for wanted in (
        Wanted(settings.topic, settings.partitions, "OSSA_EVENTS__TOPIC"),
        Wanted(settings.dead_topic, 1, "OSSA_EVENTS__DEAD_TOPIC", "at least one"),
    ):
        with translated():
            _Ensuring(admin, settings, servers, wanted).ensure()


class _Ensuring:
    def __init__(self, admin: AdminClient, settings: EventSettings, servers: str, wanted: Wanted) -> None:
        self._admin = admin
        self._settings = settings
        self._servers = servers
        self._wanted = wanted

    def ensure(self) -> None:
        topic = self._look()
        if topic is None:
            self._create()
        else:
            self._check(topic)

    def _look(self) -> TopicMetadata | None:
        """Lists all topics: asking for one by name may create it."""
        return self._admin.list_topics(timeout=_ANSWER_S).topics.get(self._wanted.name)

    def _create(self) -> None:
        wanted, settings = self._wanted, self._settings
        command = (
            f"{_COMMAND} {self._servers} --create --topic {wanted.name} --partitions {wanted.partitions} "
            f"--replication-factor {settings.replication} --config {_MIN_INSYNC}={settings.min_insync}"
        )
        if not settings.create_topics:
            raise TopicUnfit(
                f"Kafka has no topic {wanted.name} ({wanted.setting}). Make it: {command}; or set "
                "OSSA_EVENTS__CREATE_TOPICS=true.",
                param="events.create_topics",
            )
        topic = NewTopic(
            wanted.name, wanted.partitions, settings.replication, config={_MIN_INSYNC: str(settings.min_insync)}
        )
        try:
            self._admin.create_topics([topic], request_timeout=_ANSWER_S)[wanted.name].result(_ANSWER_S + 5)
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.TOPIC_ALREADY_EXISTS:  # another replica was quicker
                pass
            elif code == KafkaError.INVALID_REPLICATION_FACTOR:
                raise TopicUnfit(
                    f"Kafka has fewer than {settings.replication} brokers, too few for the copies of {wanted.name}: "
                    "start more, or set OSSA_EVENTS__REPLICATION and OSSA_EVENTS__MIN_INSYNC.",
                    param="events.replication",
                ) from None
            else:
                raise ours(error.args[0]) from None
        self._await_leaders()

    def _await_leaders(self) -> None:
        end = time.monotonic() + _LEADERS_S
        while time.monotonic() < end:
            topic = self._look()
            if topic is not None and all(partition.leader >= 0 for partition in topic.partitions.values()):
                return
            time.sleep(0.05)
        raise TopicUnfit(f"{self._wanted.name} was made, and has no leaders yet.", param="events.topic")

    def _check(self, topic: TopicMetadata) -> None:
        wanted, settings = self._wanted, self._settings
        alter = f"{_COMMAND} {self._servers} --alter --topic {wanted.name} --partitions {wanted.partitions}"
        if len(topic.partitions) < wanted.partitions:
            raise TopicUnfit(
                f"{wanted.name} has {len(topic.partitions)} partitions, and {wanted.partitions_setting} says "
                f"{wanted.partitions}. Add some: {alter}; or set the setting.",
                param="events.partitions",
            )
        copies = min((len(partition.replicas) for partition in topic.partitions.values()), default=0)
        if copies < settings.replication:
            raise TopicUnfit(
                f"{wanted.name} has {copies} copies of a partition, and OSSA_EVENTS__REPLICATION says "
                f"{settings.replication}. Add some with kafka-reassign-partitions.sh, or set the setting.",
                param="events.replication",
            )
        written = self._min_insync()
        if written < settings.min_insync:
            raise TopicUnfit(
                f"{wanted.name} has {_MIN_INSYNC}={written}, and OSSA_EVENTS__MIN_INSYNC says {settings.min_insync}. "
                f"Set it: kafka-configs.sh --bootstrap-server {self._servers} --alter --topic {wanted.name} "
                f"--add-config {_MIN_INSYNC}={settings.min_insync}; or set the setting.",
                param="events.min_insync",
            )

    def _min_insync(self) -> int:
        resource = ConfigResource(ResourceType.TOPIC, self._wanted.name)
        entries = self._admin.describe_configs([resource], request_timeout=_ANSWER_S)[resource].result(_ANSWER_S + 5)
        return int(entries[_MIN_INSYNC].value)


LOOK_S = 2.0
_LOOK_ANSWER_S = 0.2
_LAST_S = 0.5


class _Ear(logging.Handler):
    """Errors come to a callback; how a line ended, which tells of another protocol, goes to the log alone."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[KafkaError] = []
        self.lines: list[str] = []
        self.logger = logging.Logger("ossa.stores.kafka.administration")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def found(self) -> OssaError | None:
        telling = next((ours(error) for error in self.errors if is_telling(error)), None)
        return telling or next((hung_up(line) for line in self.lines if names_protocol(line)), None)

    def is_all(self) -> bool:
        return any(error.code() == KafkaError._ALL_BROKERS_DOWN for error in self.errors)


def why(configuration: Configuration) -> OssaError | None:
    """None where a broker answers, or nobody says more than that none does. Blocking, for about `LOOK_S` at most.

    Raises `InvalidRequest` for what the driver cannot use. That one broker hangs up says nothing while others answer.
    """
    ear = _Ear()
    heard: Configuration = {"error_cb": ear.errors.append, "logger": ear.logger, "log.connection.close": True}
    with translated():
        admin = AdminClient({**configuration, **heard})
    end = time.monotonic() + LOOK_S
    while time.monotonic() < end:
        last = ear.is_all()
        try:
            admin.list_topics(timeout=_LAST_S if last and ear.found() else _LOOK_ANSWER_S)
        except KafkaException:
            admin.poll(0)
        else:
            return None
        if last:
            break
    return ear.found()
