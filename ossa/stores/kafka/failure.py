"""Driver errors become ours, here alone."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
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
_FIRST_QUESTION = "Disconnected", "APIVERSION_QUERY"
"""librdkafka's words for a line that ends at the first question: the other side may speak another protocol."""

_NO_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


@contextmanager
def translated() -> Iterator[None]:
    """Raises `OssaError`s for whatever the driver raises. Their messages hold no password and no message's content."""
    try:
        yield
    except KafkaException as error:
        raise ours(error.args[0] if error.args else None) from None


def of_producer(error: Exception) -> OssaError:
    """Translates an error of the driver that writes."""
    if isinstance(error, errors.UnknownTopicOrPartitionError | errors.InvalidTopicError):
        return TopicUnfit(f"Kafka knows no such topic or partition ({type(error).__name__}).", param="events.topic")
    name = type(error).__name__
    if isinstance(error, _REFUSALS):
        return _refused(name)
    return BusUnavailable(f"Kafka is unavailable: {name}.", retry_after_s=_RETRY_AFTER_S)


def ours(error: object) -> OssaError:
    """Translates a `KafkaError`."""
    if not isinstance(error, KafkaError):
        return BusUnavailable(f"Kafka is unavailable: {error}", retry_after_s=_RETRY_AFTER_S)
    code = error.code()
    if code in _REFUSED:
        return _refused(error.name())
    if code == KafkaError._INVALID_ARG:
        return InvalidRequest(f"A setting of OSSA_EVENTS__ cannot be used: {error.str()}", param="events")
    if _is_of_tls(error):
        return _distrusted(error.str())
    if code in _NO_TOPIC:
        return TopicUnfit(f"Kafka knows no such topic or partition ({error.name()}).", param="events.topic")
    return BusUnavailable(f"Kafka is unavailable: {error.name()}: {error.str()}", retry_after_s=_RETRY_AFTER_S)


def is_telling(error: KafkaError) -> bool:
    """Whether it says more than that a broker is away."""
    return error.code() in _REFUSED or _is_of_tls(error)


def _is_of_tls(error: KafkaError) -> bool:
    """A broker's alert, such as of a certificate that it misses, comes when the handshake is over: as a broken line."""
    return bool(error.code() == KafkaError._SSL) or "SSL routines" in error.str()


def names_protocol(said: str) -> bool:
    return all(word in said for word in _FIRST_QUESTION)


def hung_up(said: str) -> BusUnavailable:
    return _unreachable(
        f"Kafka hangs up ({said}): OSSA_EVENTS__SECURITY_PROTOCOL may not be what it speaks there, or it is just "
        "starting.",
        "events.security_protocol",
    )


def _distrusted(said: str) -> BusUnavailable:
    return _unreachable(
        f"No TLS with Kafka ({said}). OSSA_EVENTS__CA_FILE names who signed the brokers' certificates, which hold for "
        "the hosts in OSSA_EVENTS__BOOTSTRAP_SERVERS; where brokers ask for one of ours, it is in "
        "OSSA_EVENTS__CERTIFICATE_FILE.",
        "events.ca_file",
    )


def _refused(name: str) -> BusUnavailable:
    return _unreachable(
        f"Kafka refuses us ({name}): see OSSA_EVENTS__SASL_USER, OSSA_EVENTS__SASL_PASSWORD, "
        "OSSA_EVENTS__SASL_MECHANISM and what that user may do there.",
        "events.sasl_user",
    )


def _unreachable(said: str, param: str) -> BusUnavailable:
    return BusUnavailable(said, param=param, retry_after_s=_RETRY_AFTER_S)


EVERY_S = 60.0
MOST_LINES = 1000
"""That differ; then all are forgotten."""

_DRIVERS = (
    "ossa.stores.kafka",  # librdkafka's
    *("aiokafka", "aiokafka.cluster", "aiokafka.conn", "aiokafka.producer.producer", "aiokafka.producer.sender"),
)
_PASSING = re.compile(r"\d+ms|(?<=consumer-)\d+|(?<=producer-)\d+")


class NowAndThen(logging.Filter):
    """Lets a line through once in `EVERY_S`; lines that differ by a duration or a client's number alone are one.
    How many were left out is said by the next that goes through.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        line = _PASSING.sub("#", record.getMessage())
        now = self._now()
        at, left_out = self._last.get(line, (now - EVERY_S, 0))
        if now - at < EVERY_S:
            self._last[line] = (at, left_out + 1)
            return False
        if len(self._last) > MOST_LINES:
            self._last.clear()
        self._last[line] = (now, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} times more since)", ()
        return True


def quieten_drivers() -> None:
    """Once for each logger, however often it is asked for."""
    for name in _DRIVERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, NowAndThen) for each in logger.filters):
            logger.addFilter(NowAndThen())
