"""Events on their way, as Prometheus sees them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LAG_BUCKETS_S = (0.005, 0.01, 0.02, 0.045, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600)


class PublisherMetrics:
    """On a replica's registry. Gauges are the same from every replica: take their greatest."""

    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry
        self.rows = Gauge("ossa_events_outbox_rows", "Entries that wait to be published", registry=r)
        self.oldest = Gauge("ossa_events_outbox_oldest_seconds", "Age of the oldest of them", registry=r)
        self.leading = Gauge("ossa_events_publisher_leading", "1 where this replica publishes", registry=r)
        self.published = Counter("ossa_events_published_total", "Events that the bus keeps", registry=r)
        self.failures = Counter(
            "ossa_events_publish_failures_total", "Rounds that failed, by error code", ("code",), registry=r
        )
        self.given_up = Counter("ossa_events_given_up_total", "Entries too old to be published", registry=r)
        self.seconds = Histogram(
            "ossa_events_publish_seconds", "From the write of a batch's first event until the bus keeps it",
            buckets=LAG_BUCKETS_S, registry=r,
        )  # fmt: skip
        self.lag = Gauge("ossa_events_group_lag", "Messages that a group has not committed", ("group",), registry=r)


class ConsumerMetrics:
    """Of one process that consumes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry
        self.handled = Counter("ossa_events_handled_total", "Events a handler was done with", ("group",), registry=r)
        self.duplicates = Counter("ossa_events_duplicates_total", "Events that came again", ("group",), registry=r)
        self.tried_again = Counter("ossa_events_tried_again_total", "Handlers' failures", ("group",), registry=r)
        self.dead = Counter(
            "ossa_events_dead_letters_total", "Events given to the dead letters", ("group",), registry=r
        )
        self.lag = Histogram(
            "ossa_events_consumer_lag_seconds", "From an event's time until a handler was done with it", ("group",),
            buckets=LAG_BUCKETS_S, registry=r,
        )  # fmt: skip
