"""Variables expand as a shell's, and nowhere else."""

from __future__ import annotations

import os

import pytest

from ossa.manifest import Rejected, loads, read_agent
from ossa.manifest.place import expand, unresolved

ENV = {"A": "alpha", "EMPTY": "", "NESTED": "${A}", "B_2": "beta"}


@pytest.mark.parametrize(
    ("written", "expanded"),
    [
        ("${A}", "alpha"),
        ("${A:-x}", "alpha"),
        ("${UNSET:-x y}", "x y"),
        ("${UNSET:-}", ""),
        ("${UNSET-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${EMPTY}", ""),
        ("${UNSET}", "${UNSET}"),
        ("${NESTED}", "${A}"),
        ("${UNSET:-${A}}", "alpha"),
        ("${UNSET:-${ALSO:-y}}", "y"),
        ("a ${A} b ${B_2}", "a alpha b beta"),
        ("${UNSET:-http://x:80/$a}", "http://x:80/$a"),
        ("${{ steps.x }}", "${{ steps.x }}"),
        ("${outputs.x}", "${outputs.x}"),
        ("$A $ { }", "$A $ { }"),
        ("${A", "${A"),
        ("${}", "${}"),
    ],
)
def test_variables_expand_as_in_a_shell(written: str, expanded: str) -> None:
    assert expand(written, ENV) == expanded


def test_what_stays_is_known() -> None:
    assert unresolved("x ${UNSET} y") == "UNSET"
    assert unresolved("x ${{ y }} ${a.b}") is None


@pytest.mark.parametrize(
    "hostile", ["${a:-" * 50_000, "${" * 100_000, "${a:-" + "${b}" * 50_000, "${a:-" + "$" * 100_000]
)
def test_hostile_variables_cost_linear_time(hostile: str) -> None:
    assert expand(hostile, {}) == hostile


def test_a_long_variable_asked_for_often_is_refused() -> None:
    text = "apiVersion: ossa/v1\nkind: Agent\nmetadata: {name: a}\nspec:\n  role: '" + "${A}" * 10_000 + "'\n"
    (reading,) = loads(text, env={"A": "x" * 10_000})
    assert isinstance(reading, Rejected)
    assert (reading.path, reading.line) == ("spec.role", 5)
    assert "expands to more than" in reading.problem
    assert len(reading.message) < 300


TEXT = """\
apiVersion: ossa/v0.5
kind: Agent
metadata: {name: "${NAME:-pilot}", labels: {owner: "${OWNER:-me}"}}
spec:
  role: "Serve ${CITY:-Bergen}."
  llm: {provider: "${PROVIDER}", model: "${MODEL:-gpt-4o-mini}", maxTokens: "${MAX:-64}"}
  tools: [{name: t, token: "${TOKEN:-none}"}]
"""


def test_the_environment_is_the_default_and_a_mapping_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "CITY", "Oslo")
    assert read_agent(TEXT).role == "Serve Oslo."
    assert read_agent(TEXT, env={}).role == "Serve Bergen."


def test_fields_expand_and_an_unset_provider_is_none() -> None:
    spec = read_agent(TEXT, env={"MAX": "128", "MODEL": "claude-opus-4"})
    assert spec.name == "pilot"
    assert (spec.model.provider, spec.model.model, spec.model.max_tokens) == (None, "claude-opus-4", 128)
    assert spec.model.tier == "premium"


def test_secrets_of_tools_and_labels_stay_unexpanded() -> None:
    spec = read_agent(TEXT, env={"TOKEN": "hunter2", "OWNER": "you"})
    assert spec.tools[0].config == {"token": "${TOKEN:-none}"}
    assert spec.labels == {"owner": "${OWNER:-me}"}
    assert "hunter2" not in spec.model_dump_json()
