"""Driver errors become ours, here alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors
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
_REFUSALS = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
    errors.TopicAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)
_NO_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


@contextmanager
def translated() -> Iterator[None]:
    """Raises `OssaError`s for whatever the driver raises. Their messages hold no password and no message's content."""
    try:
        yield
    except KafkaException as error:
        raise ours(error.args[0] if error.args else None) from None


def of_producer(error: Exception) -> OssaError:
    """What a caller meets for an error of the driver that writes."""
    if isinstance(error, errors.UnknownTopicOrPartitionError | errors.InvalidTopicError):
        return TopicUnfit(f"Kafka knows no such topic or partition ({type(error).__name__}).", param="events.topic")
    name = type(error).__name__
    if isinstance(error, _REFUSALS):
        return _refused(name)
    return BusUnavailable(f"Kafka is unavailable: {name}.", retry_after_s=_RETRY_AFTER_S)


def ours(error: object) -> OssaError:
    """What a caller meets for a `KafkaError`."""
    if not isinstance(error, KafkaError):
        return BusUnavailable(f"Kafka is unavailable: {error}", retry_after_s=_RETRY_AFTER_S)
    code = error.code()
    if code in _REFUSED:
        return _refused(error.name())
    if code in _NO_TOPIC:
        return TopicUnfit(f"Kafka knows no such topic or partition ({error.name()}).", param="events.topic")
    if code == KafkaError._INVALID_ARG:
        return InvalidRequest(f"A setting of OSSA_EVENTS__ cannot be used: {error.str()}", param="events")
    return BusUnavailable(f"Kafka is unavailable: {error.name()}: {error.str()}", retry_after_s=_RETRY_AFTER_S)


def _refused(name: str) -> BusUnavailable:
    return BusUnavailable(
        f"Kafka refuses us ({name}): see OSSA_EVENTS__SASL_USER, OSSA_EVENTS__SASL_PASSWORD and what that user may do "
        "there.",
        param="events.sasl_user",
        retry_after_s=_RETRY_AFTER_S,
    )
