"""Why no broker can be reached. The driver that writes tells nobody, and librdkafka tells it beside its answers."""

from __future__ import annotations

import logging
import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from ossa.contracts.errors import OssaError
from ossa.stores.kafka.configuration import Configuration
from ossa.stores.kafka.failure import hung_up, is_telling, names_protocol, ours, translated

LOOK_S = 2.0
_ANSWER_S = 0.2
_LAST_S = 0.5


class _Ear(logging.Handler):
    """Errors come to a callback; how a line ended, which tells of another protocol, goes to the log alone."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[KafkaError] = []
        self.lines: list[str] = []
        self.logger = logging.Logger("ossa.stores.kafka.diagnosis")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def found(self) -> OssaError | None:
        told = next((ours(error) for error in self.errors if is_telling(error)), None)
        return told or next((hung_up(line) for line in self.lines if names_protocol(line)), None)

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
            admin.list_topics(timeout=_LAST_S if last and ear.found() else _ANSWER_S)
        except KafkaException:
            admin.poll(0)
        else:
            return None
        if last:
            break
    return ear.found()
