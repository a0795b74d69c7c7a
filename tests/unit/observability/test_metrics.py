from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ossa.observability import AtMost, MetricGroup, MetricSpec, all_metrics, counter, gauge
from ossa.observability.metrics import UNITS
from scripts.metrics import PAGE, import_groups, page


class Example(MetricGroup):
    calls = counter("ossa_example_calls_total", "Calls", pool=AtMost(4, "pools"), outcome=("sent", "failed"))
    age = gauge("ossa_example_age_seconds", "Age")


def _declared() -> list[MetricSpec]:
    import_groups()
    return [spec for group, spec in all_metrics() if group.__module__.startswith("ossa.")]


def test_a_group_creates_its_metrics_on_each_registry_anew() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    Example(first).calls.labels("core", "sent").inc()
    Example(second)
    assert 'ossa_example_calls_total{outcome="sent",pool="core"} 1.0' in generate_latest(first).decode()
    assert "ossa_example_calls_total{" not in generate_latest(second).decode()


def test_the_page_lists_every_declared_metric() -> None:
    assert PAGE.read_text() == page(), "run: python -m scripts.metrics"


def test_metrics_are_named_by_system_and_unit() -> None:
    declared = _declared()
    names = [spec.name for spec in declared]
    assert len(names) > 40
    assert len(set(names)) == len(names)
    for spec in declared:
        prefix, system, *words = spec.name.split("_")
        assert prefix == "ossa" and system and words, spec.name
        assert spec.name.endswith("_total") == (spec.kind == "counter"), spec.name
        assert spec.help, spec.name
        if spec.unit in UNITS:
            assert spec.name.removesuffix("_total").endswith(f"_{spec.unit}"), spec.name
        if spec.kind == "histogram":
            assert spec.unit, f"{spec.name} needs a unit"
            assert list(spec.buckets) == sorted(spec.buckets), spec.name


def test_every_label_is_bounded_and_none_names_a_task_or_a_tenant() -> None:
    for spec in _declared():
        for label, bound in spec.labels.items():
            assert not {"task", "task_id", "tenant", "request_id", "key"} & {label}, f"{spec.name}: {label}"
            if isinstance(bound, AtMost):
                assert 0 < bound.count <= 10_000, f"{spec.name}: {label}"
            else:
                assert bound, f"{spec.name}: {label}"


@pytest.mark.parametrize(("name", "unit"), [("ossa_a_b_usd_total", "usd"), ("ossa_a_b_total", "")])
def test_the_unit_is_read_from_the_name(name: str, unit: str) -> None:
    spec = counter(name, "Help")
    assert isinstance(spec, MetricSpec)
    assert spec.unit == unit
