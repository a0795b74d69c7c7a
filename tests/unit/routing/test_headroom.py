"""`load` of a candidate is called `headroom` now; the old name stays beside it for one version."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from typing import Any

import pytest

from ossa.contracts.routing import AgentScore, Route
from ossa.sdk.routing import AgentScores

SCORE: dict[str, Any] = {"agent_id": "a", "manifest": "m", "pool": "p", "fit": 0.5, "affinity": 0.0, "score": 0.6}
ROUTE: dict[str, Any] = {"agent_id": "a", "manifest": "m", "pool": "p"}


@pytest.mark.parametrize("names", [("load",), ("headroom",), ("headroom", "load")])
def test_a_route_of_any_version_is_read_and_written_with_both_names(names: tuple[str, ...]) -> None:
    stored = json.dumps({**ROUTE, "agents": [{**SCORE, **dict.fromkeys(names, 0.25)}]})
    read = Route.model_validate_json(stored)
    assert read.agents[0].headroom == 0.25
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # writing and showing warn nobody
        written, shown = json.loads(read.model_dump_json())["agents"][0], repr(read)
    assert (written["headroom"], written["load"]) == (0.25, 0.25)
    assert "load" not in shown
    assert Route.model_validate({**ROUTE, "agents": [written]}) == read


def test_reading_the_old_name_warns() -> None:
    score = Route(**ROUTE, agents=[{**SCORE, "headroom": 0.25}]).agents[0]
    with pytest.warns(DeprecationWarning, match="headroom"):
        assert score.load == 0.25


def test_reading_the_old_name_warns_in_a_process_that_made_no_score_itself() -> None:
    made = f"Route(**{ROUTE}, agents=[{SCORE | {'headroom': 0.25}}])"
    program = f"from ossa.contracts.routing import Route; {made}.agents[0].load"
    ended = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True)
    assert "DeprecationWarning: Read `headroom`." in ended.stderr


def test_the_schema_marks_the_old_name_as_deprecated() -> None:
    properties = AgentScore.model_json_schema()["properties"]
    assert properties["load"]["deprecated"] is True
    assert "deprecated" not in properties["headroom"]


def test_the_table_shows_the_new_name() -> None:
    assert "headroom" in AgentScores.columns and "load" not in AgentScores.columns
