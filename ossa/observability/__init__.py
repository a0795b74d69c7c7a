"""Metrics declared as data: the series themselves, docs/metrics.md and dashboards are made from one declaration."""

from ossa.observability.metrics import AtMost, MetricGroup, MetricSpec, all_metrics, counter, gauge, histogram

__all__ = ["AtMost", "MetricGroup", "MetricSpec", "all_metrics", "counter", "gauge", "histogram"]
