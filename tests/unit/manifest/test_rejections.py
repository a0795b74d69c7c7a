"""A rejection names file, line, path and what is expected."""

from __future__ import annotations

import pickle

import pytest

from ossa.contracts.errors import ManifestError
from ossa.manifest import Rejected, from_mapping, loads, read_agent

HEAD = "apiVersion: ossa/v0.5\nkind: Agent\nmetadata:\n  name: a\n"


def rejection(text: str | bytes, source: str = "agent.yaml") -> Rejected:
    (reading,) = loads(text, source, env={})
    assert isinstance(reading, Rejected), reading
    assert reading.message.startswith(source)
    return reading


@pytest.mark.parametrize(
    ("constraints", "path", "expected"),
    [
        ("cost: {maxTokensPerDay: -1}", "cost.maxTokensPerDay", "a whole number of at least 1"),
        ("cost: {maxTokensPerDay: 0}", "cost.maxTokensPerDay", "a whole number of at least 1"),
        ("cost: {maxTokensPerDay: many}", "cost.maxTokensPerDay", "a whole number of at least 1"),
        ("cost: {maxTokensPerDay: true}", "cost.maxTokensPerDay", "a whole number of at least 1"),
        ("cost: {maxTokensPerDay: 1.5}", "cost.maxTokensPerDay", "a whole number of at least 1"),
        ("cost: {maxTokensPerDay: [1]}", "cost.maxTokensPerDay", "a whole number of at least 1"),
        ("cost: {maxTokensPerRequest: '9e99'}", "cost.maxTokensPerRequest", "a whole number of at least 1"),
        ("cost: {maxTokensPerRequest: '${UNSET}'}", "cost.maxTokensPerRequest", "a whole number of at least 1"),
        ("cost: {maxCostPerDay: -0.5}", "cost.maxCostPerDay", "an amount in US dollars of at least 0"),
        ("cost: {maxCostPerDay: 5, currency: EUR}", "cost.currency", "USD, in which costs are counted"),
        ("performance: {timeoutSeconds: 0}", "performance.timeoutSeconds", "a time above zero, such as 90 or 90s"),
        ("performance: {timeoutSeconds: soon}", "performance.timeoutSeconds", "a time above zero, such as 90 or 90s"),
        ("performance: {maxConcurrentRequests: none}", "performance.maxConcurrentRequests", "a whole number of at"),
        ("max_turns: -3", "max_turns", "a whole number of at least 1"),
    ],
)
def test_a_wrong_limit_is_an_error(constraints: str, path: str, expected: str) -> None:
    found = rejection(f"{HEAD}spec:\n  constraints:\n    {constraints}\n")
    assert found.path == f"spec.constraints.{path}"
    assert found.expected.startswith(expected)
    assert found.line == 7
    assert found.message.startswith(f"agent.yaml:7: {found.path}: ")


def test_a_limit_that_loses_to_another_is_checked_all_the_same() -> None:
    text = f"{HEAD}spec:\n  constraints:\n    performance:\n      timeoutSeconds: 5\n      maxLatencySeconds: fast\n"
    assert rejection(text).path == "spec.constraints.performance.maxLatencySeconds"


@pytest.mark.parametrize("written", ["60", "'60'", "60s", "1m", "60000ms", "60.0", "${UNSET:-60}", "6_0"])
def test_a_time_may_be_written_in_many_ways(written: str) -> None:
    text = f"{HEAD}spec:\n  constraints:\n    performance:\n      timeoutSeconds: {written}\n"
    assert read_agent(text, env={}).limits.timeout_s == 60


def test_a_cost_of_nothing_is_a_limit() -> None:
    text = f"{HEAD}spec:\n  constraints:\n    cost: {{maxCostPerDay: 0}}\n"
    assert read_agent(text).limits.max_cost_per_day_usd == 0


def test_a_model_parameter_that_is_no_number_is_an_error() -> None:
    assert rejection(f"{HEAD}spec:\n  llm:\n    model: m\n    temperature: hot\n").path == "spec.llm.temperature"


@pytest.mark.parametrize(
    ("text", "path", "problem"),
    [
        ("apiVersion: ossa/v0.5\nkind: Agent\nspec: {}\n", "metadata", "is missing"),
        ("apiVersion: ossa/v0.5\nkind: Agent\nmetadata: {name: a}\n", "spec", "is missing"),
        ("apiVersion: ossa/v0.5\nkind: Agent\nmetadata: {name: a}\nspec: [1]\n", "spec", "is [1]"),
        ("apiVersion: ossa/v0.5\nmetadata: {name: a}\nspec: {}\n", "kind", "is missing"),
        ("apiVersion: ossa/v0.5\nkind: Agent\nmetadata: {name: ' '}\nspec: {}\n", "metadata.name", "is ' '"),
        ("apiVersion: ossa/v0.5\nkind: Agent\nmetadata: {name: [a]}\nspec: {}\n", "metadata.name", "is ['a']"),
        ("apiVersion: ossa/v0.5\nkind: Agent\nmetadata: {name: 'a{{x}}'}\nspec: {}\n", "metadata.name", "is 'a{{x}}'"),
        ('apiVersion: ossa/v0.5\nkind: Agent\nmetadata: {name: "a\\nb"}\nspec: {}\n', "metadata.name", "is 'a\\nb'"),
        ("apiVersion: ossa/v{{V}}\nkind: Agent\n", "apiVersion", "is 'ossa/v{{V}}': an unfilled template"),
        ("ossa: 0.7\nmetadata: {name: a}\n", "ossa", "is 0.7"),
        ("ossaVersion: '3.0'\nagent: {id: a}\n", "ossaVersion", "is '3.0'"),
        ("ossaVersion: '1.0'\nworkflow: {}\n", "agent", "is missing"),
        ("name: something\n", "", "declares no OSSA version"),
        ("- a\n- b\n", "", "is ['a', 'b']"),
        ("just text\n", "", "is 'just text'"),
        ("", "", "is empty"),
        ("# a comment\n---\n---\n", "", "is empty"),
    ],
)
def test_a_document_that_is_no_agent_says_why(text: str, path: str, problem: str) -> None:
    found = rejection(text)
    assert found.path == path
    assert found.problem.startswith(problem)
    assert found.expected


def test_a_long_name_is_refused_and_quoted_short() -> None:
    found = rejection(f"apiVersion: ossa/v1\nkind: Agent\nmetadata: {{name: {'a' * 300}}}\nspec: {{}}\n")
    assert "253" in found.expected
    assert len(found.message) < 300


def test_an_error_quotes_what_is_written_and_not_what_a_variable_holds() -> None:
    text = f"{HEAD}spec:\n  constraints:\n    max_steps: ${{SECRET}}\n"
    (found,) = loads(text, env={"SECRET": "hunter2"})
    assert isinstance(found, Rejected)
    assert "${SECRET}" in found.message
    assert "hunter2" not in found.message


def test_read_agent_raises_an_error_that_pickles_whole() -> None:
    with pytest.raises(ManifestError) as caught:
        read_agent(f"{HEAD}spec:\n  llm: {{temperature: [1]}}\n")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.details == caught.value.details
    assert copy.details["path"] == copy.param == "spec.llm.temperature"
    assert copy.details["line"] == 6
    assert copy.status == 422


def test_read_agent_wants_exactly_one_document() -> None:
    with pytest.raises(ManifestError, match="2 documents"):
        read_agent(f"{HEAD}spec: {{}}\n---\n{HEAD}spec: {{}}\n")
    with pytest.raises(ManifestError, match="kind Task is not an Agent"):
        read_agent("apiVersion: ossa/v0.5\nkind: Task\n")


def test_a_mapping_is_read_like_a_file_without_lines() -> None:
    document = {"apiVersion": "ossa/v1", "kind": "Agent", "metadata": {"name": "a"}, "spec": {"llm": {"topP": "x"}}}
    with pytest.raises(ManifestError) as caught:
        from_mapping(document, env={})
    assert caught.value.details["line"] is None
    assert caught.value.details["path"] == "spec.llm.topP"
    assert from_mapping({**document, "spec": {}}, env={}).name == "a"


@pytest.mark.parametrize("value", [object(), {1: 2}, float("nan"), 2**64, "\ud800", b"x", {"a": {1, 2}}])
def test_a_mapping_with_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ManifestError, match="metadata"):
        from_mapping({"apiVersion": "ossa/v1", "kind": "Agent", "metadata": {"name": "a", "odd": value}}, env={})


def test_syntax_errors_name_the_line() -> None:
    found = rejection("apiVersion: ossa/v0.5\nkind: Agent\n\tmetadata:\n")
    assert found.problem.startswith("not YAML")
    assert found.line == 3
    assert rejection('{"a": 1,\n "b" 2}', "x.json").line == 2
    assert rejection("a: [1\n", "x.json").problem.startswith("not JSON")


def test_documents_before_a_broken_one_are_still_read() -> None:
    first, second = loads(f"{HEAD}spec: {{}}\n---\na: [\n")
    assert first.status == "loaded"
    assert second.status == "rejected"
