"""Driver errors become ours, here alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from ossa.contracts.errors import BusUnavailable, InvalidRequest, OssaError, TopicUnfit

_RETRY_AFTER_S = 1.0
_REFUSED = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
_NO_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


@contextmanager
def translated() -> Iterator[None]:
    """Raises `OssaError`s for whatever the driver raises. Their messages hold no password and no message's content."""
    try:
        yield
    except KafkaException as error:
        raise ours(error.args[0] if error.args else None) from None


def ours(error: object) -> OssaError:
    """What a caller meets for a `KafkaError`."""
    if not isinstance(error, KafkaError):
        return BusUnavailable(f"Kafka is unavailable: {error}", retry_after_s=_RETRY_AFTER_S)
    code = error.code()
    if code in _REFUSED:
        return BusUnavailable(
            f"Kafka refuses us ({error.name()}): see OSSA_EVENTS__SASL_USER, OSSA_EVENTS__SASL_PASSWORD and what that "
            "user may do there.",
            param="events.sasl_user",
            retry_after_s=_RETRY_AFTER_S,
        )
    if code in _NO_TOPIC:
        return TopicUnfit(f"Kafka knows no such topic or partition ({error.name()}).", param="events.topic")
    if code == KafkaError._INVALID_ARG:
        return InvalidRequest(f"A setting of OSSA_EVENTS__ cannot be used: {error.str()}", param="events")
    return BusUnavailable(f"Kafka is unavailable: {error.name()}: {error.str()}", retry_after_s=_RETRY_AFTER_S)
