"""`dump` writes what `loads` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.agent_spec import AgentSpec, Limits, ModelPreference, ToolRef
from ossa.manifest import digest, dump, loads, read_agent, scan
from ossa.manifest.readers import PARSERS, read_yaml

SAMPLES = Path(__file__).parent / "samples"

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
WORDS = ["on", "yes", "~", "null", "0o17", "0x1F", "1e3", "1_000", "2025-09-06", "12:30:00", "<<", "=", "- a", "a: b"]
MARKS = ["", "# x", "!x", "&a", "*a", "---", "...", "? x", "%TAG", "@x", "`x`", "${A:-b}", "{{x}}", "'", '"', ".5", "-"]
LINES = [
    "a\n\nb\n",
    " a\nb",
    "a \nb",
    "\ta",
    "a\tb\nc",
    "é\nü",
    "\x85",
    "\u2028",
    "\ufeff",
    "\r\n",
    "a\r\nb",
    "x" * 300,
]
tricky = st.sampled_from([*WORDS, *MARKS, *LINES])
scalar = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
    | tricky
)
value = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text | tricky, inner, max_size=4),
    max_leaves=12,
)


def spec_of(extra: Any) -> AgentSpec:
    document = {"apiVersion": "ossa/v0.5", "kind": "Agent", "metadata": {"name": "a"}, "spec": {"extra": extra}}
    return AgentSpec(name="a", dialect="ossa/v0.5", document=document, digest=digest(document))


@pytest.mark.parametrize("tricky_text", [*WORDS, *MARKS, *LINES])
def test_text_that_looks_like_something_else_stays_text(tricky_text: str) -> None:
    spec = spec_of({"value": tricky_text, tricky_text: [tricky_text, f"{tricky_text}\n{tricky_text}\n"]})
    written = dump(spec)
    for parser in PARSERS:
        (tree,) = read_yaml(written, "x", parser)
        assert tree.data == spec.document
    assert yaml.safe_load(written) == spec.document


@given(value)
def test_any_document_reads_back_the_same(extra: Any) -> None:
    spec = spec_of(extra)
    written = dump(spec)
    for parser in PARSERS:
        (tree,) = read_yaml(written, "x", parser)
        assert tree.data == spec.document
        assert digest(tree.data) == spec.digest


@given(value)
def test_readers_of_yaml_1_1_understand_what_is_written(extra: Any) -> None:
    spec = spec_of(extra)
    assert yaml.safe_load(dump(spec)) == spec.document


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_no_text_whatever_crashes_the_reader(content: str | bytes) -> None:
    for source in ("x.yaml", "x.json"):
        for reading in loads(content, source, env={}):
            assert str(reading)


FIELDS = [
    "llm",
    "tools",
    "capabilities",
    "constraints",
    "autonomy",
    "role",
    "taxonomy",
    "model",
    "guardrails",
    "prompts",
]


@given(st.dictionaries(st.sampled_from(FIELDS), value), st.dictionaries(st.sampled_from(["name", "labels"]), value))
def test_no_document_whatever_crashes_a_dialect(fields: dict[str, Any], metadata: dict[str, Any]) -> None:
    for head in ({"apiVersion": "ossa/v0.5", "kind": "Agent"}, {"ossa": "0.1.8"}, {"ossaVersion": "1.0"}):
        document = {**head, "metadata": {"name": "a", **metadata}, "spec": fields, "agent": {"id": "a", **fields}}
        spec = AgentSpec(name="a", dialect="", document=document)
        (reading,) = loads(dump(spec), env={})
        assert reading.status in ("loaded", "rejected")


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_dialect_round_trips(path: Path) -> None:
    for reading in scan([path], env={}):
        if reading.status == "loaded":
            again = read_agent(dump(reading.spec), env={})
            assert again.digest == reading.spec.digest
            assert again.document == reading.spec.document
            same = {"source": ""}
            assert again.model_copy(update=same) == reading.spec.model_copy(update=same)


def test_variables_are_written_as_they_were_read() -> None:
    spec = read_agent(SAMPLES / "v0_5.yaml", env={"HARBOUR_MODEL": "gpt-4o"})
    assert spec.model.model == "gpt-4o"
    assert "${HARBOUR_MODEL:-claude-haiku-4-5}" in dump(spec)
    assert "gpt-4o" not in dump(spec)
    assert spec.digest == read_agent(SAMPLES / "v0_5.yaml", env={}).digest


def test_prompts_are_written_as_blocks_and_keys_in_order() -> None:
    written = dump(read_agent(SAMPLES / "v0_5.yaml", env={}))
    assert "  role: |\n    You guide ships.\n    Speak shortly.\n" in written
    assert written.index("apiVersion") < written.index("metadata") < written.index("spec")


def test_a_digest_does_not_depend_on_layout() -> None:
    one = read_agent("apiVersion: ossa/v1\nkind: Agent\nmetadata: {name: a}\nspec: {role: x}\n")
    two = read_agent('{"spec": {"role": "x"}, "metadata": {"name": "a"}, "kind": "Agent", "apiVersion": "ossa/v1"}')
    three = read_agent("apiVersion: ossa/v1\nkind: Agent\nmetadata: {name: a}\nspec: {role: y}\n")
    assert one.digest == two.digest != three.digest
    assert len(one.digest) == 64


def test_a_spec_made_by_hand_is_written_in_the_newest_dialect() -> None:
    spec = AgentSpec(
        name="hand-made",
        version="1.2.3",
        dialect="ossa/v0.5.0",
        description="By hand",
        role="You help.",
        model=ModelPreference(tier="premium", provider="p", model="m", temperature=0.5, max_tokens=9, top_p=0.5),
        tools=(ToolRef(name="clock", description="Time", config={"zone": "UTC"}), ToolRef(name="calculator")),
        capabilities=("a", "b"),
        limits=Limits(
            max_tokens_per_request=1,
            max_tokens_per_day=2,
            max_cost_per_day_usd=3.5,
            timeout_s=4,
            max_concurrent_requests=5,
            max_steps=6,
        ),
        autonomy="supervised",
        pool="security",
        labels={"x": "1"},
        annotations={"y": "2"},
    )
    again = read_agent(dump(spec), env={})
    plain = {"document": {}, "source": "", "digest": "", "labels": {"x": "1"}}
    assert again.model_copy(update=plain) == spec
    assert again.labels == {"x": "1", "pool": "security"}
