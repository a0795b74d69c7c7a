"""What `ossa cluster up` promises of its file: checked before Ray sees it, every refusal names the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ossa.nodes.plan import LISTS, WrongPlan, read_plan

SHIPPED = Path(__file__).resolve().parents[3] / "cluster" / "ray-local.yaml"


def changed(tmp_path: Path, *path: str, value: Any) -> Path:
    """The shipped file with one field changed."""
    document = yaml.safe_load(SHIPPED.read_text())
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_the_shipped_file_is_one_to_twelve_nodes_of_eight_cores_and_a_head_without_work() -> None:
    plan = read_plan(SHIPPED)
    assert (plan.worker.min_workers, plan.worker.max_workers) == (1, 12)
    assert plan.worker.resources["CPU"] * plan.worker.max_workers == 96
    assert plan.worker.resources["memory"] == 16 * 2**30
    assert plan.head.resources["CPU"] == 0


def test_bounds_may_be_narrowed_for_a_run() -> None:
    plan = read_plan(SHIPPED).bounded(least=2, most=4, idle_timeout_s=30)
    assert (plan.worker.min_workers, plan.worker.max_workers, plan.max_workers) == (2, 4, 4)
    assert plan.idle_timeout_minutes == 0.5


def test_a_smaller_most_lowers_the_least_of_the_file() -> None:
    assert read_plan(SHIPPED).bounded(most=1).worker.min_workers == 1


@pytest.mark.parametrize(("least", "most"), [(3, 2), (13, None)])
def test_bounds_between_which_there_is_nothing_are_refused(least: int, most: int | None) -> None:
    with pytest.raises(WrongPlan, match="no number to choose"):
        read_plan(SHIPPED).bounded(least=least, most=most)


def test_ray_gets_the_lists_that_it_fills_in_for_its_own_providers_alone() -> None:
    document = read_plan(SHIPPED).for_ray(address="127.0.0.1:1")
    assert all(document[name] == [] for name in LISTS)
    assert document["provider"]["address"] == "127.0.0.1:1"
    assert document["provider"]["module"] == "ossa.nodes.provider.RayletProvider"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("available_node_types", "head", "resources"), {"CPU": 4}, "the head takes no work"),
        (("available_node_types", "worker", "min_workers"), 13, "may not pass"),
        (("available_node_types", "worker", "max_workers"), 13, "may not pass"),
        (("head_node_type",), "master", "head_node_type"),
        (("provider", "type"), "aws", "provider.type"),
        (("provider", "starts_at_once"), 0, "provider.starts_at_once"),
        (("idle_timeout_minutes",), -1, "idle_timeout_minutes"),
        (("max_workers",), "many", "max_workers"),
        (("upscaling_sped",), 2, "upscaling_sped"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, path: tuple[str, ...], value: Any, said: str) -> None:
    with pytest.raises(WrongPlan, match=said):
        read_plan(changed(tmp_path, *path, value=value))


def test_a_file_that_is_not_there_or_no_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongPlan, match=r"gone\.yaml cannot be read"):
        read_plan(tmp_path / "gone.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [1")
    with pytest.raises(WrongPlan, match="is no YAML"):
        read_plan(bad)
