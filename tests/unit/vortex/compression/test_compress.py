"""What `compress` promises, whatever it is given."""

from __future__ import annotations

import json
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossa.contracts.compression import KINDS, Kind
from ossa.contracts.errors import InvalidRequest, NotFound
from ossa.vortex import MemoryOriginals, compress, decompress
from ossa.vortex.splitting import name_kind, split_blocks
from ossa.vortex.tokens import counter_for

WORDS = sorted(
    {"pod", "node", "error", "retry", "disk", "query", "user", "login", "token", "timeout", "slow", "table", "house"}
)
LINES = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join) | st.text(max_size=60),
    min_size=0,
    max_size=60,
)
CONTENTS = LINES.map("\n".join) | st.lists(
    st.dictionaries(st.sampled_from(WORDS), st.integers() | st.text(max_size=20), min_size=1, max_size=5), max_size=20
).map(json.dumps)


def log_lines(count: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [
        f"2025-06-12 10:{n // 60 % 60:02}:{n % 60:02} INFO request {rng.randrange(10**6)} took {rng.randrange(90)} ms"
        for n in range(count)
    ]


@settings(max_examples=60, deadline=None)
@given(content=CONTENTS, question=st.text(max_size=60), budget=st.integers(min_value=1, max_value=400))
def test_a_budget_holds_or_the_content_was_small_enough(content: str, question: str, budget: int) -> None:
    result = compress(content, question, budget_tokens=budget)
    count = counter_for().count
    assert result.tokens_after == count(result.text)
    note_alone = result.text.startswith("[") and "\n" not in result.text
    assert result.tokens_after <= max(budget, 0) or note_alone or result.text == content
    assert result.tokens_after <= result.tokens_before


@settings(max_examples=40, deadline=None)
@given(content=CONTENTS, question=st.text(max_size=60), reduction=st.sampled_from([0.3, 0.6, 0.85]))
def test_the_original_comes_back_through_its_handle(content: str, question: str, reduction: float) -> None:
    originals = MemoryOriginals()
    result = compress(content, question, reduction=reduction, originals=originals, tenant="acme")
    assert decompress(result.text, originals, tenant="acme") == content
    assert bool(result.handles) == (result.text != content)


@settings(max_examples=40, deadline=None)
@given(content=CONTENTS, reduction=st.sampled_from([0.3, 0.6, 0.85]), floor=st.booleans())
def test_a_second_pass_changes_nothing(content: str, reduction: float, floor: bool) -> None:
    once = compress(content, "error", reduction=reduction, floor=floor)
    if once.handles:
        assert compress(once.text, "error", reduction=reduction, floor=floor).text == once.text


@settings(max_examples=40, deadline=None)
@given(lines=st.lists(st.integers(0, 10**6), min_size=30, max_size=80, unique=True))
def test_what_stays_stays_in_its_order(lines: list[int]) -> None:
    content = "\n".join(f"entry {number} was written by somebody at some time" for number in lines)
    kept = [line for line in compress(content, reduction=0.6, floor=False).text.split("\n") if line.startswith("entry")]
    where = [content.split("\n").index(line) for line in kept]
    assert where == sorted(where)


def test_the_same_is_said_twice_for_the_same_content() -> None:
    content = "\n".join(log_lines(200))
    assert compress(content, "what is slow?") == compress(content, "what is slow?")


@pytest.mark.parametrize("place", [0, 77, 199])
def test_a_fault_in_a_log_survives_wherever_it_stands(place: int) -> None:
    lines = log_lines(200)
    lines[place] = "2025-06-12 10:01:01 ERROR payment gateway refused connection: certificate expired"
    assert "certificate expired" in compress("\n".join(lines), "why do payments fail?").text


def test_what_the_question_names_survives() -> None:
    content = json.dumps({f"key-{n:03}": f"value-{n * 7919 % 1000:03}" for n in range(120)})
    assert "value-" + f"{57 * 7919 % 1000:03}" in compress(content, 'the value of "key-057"', reduction=0.9).text


def test_json_rows_become_a_table_and_keep_what_other_calls_need() -> None:
    rows = [{"flight": f"HAT{n:03}", "status": "available", "seats": n, "price": 100 + n} for n in range(12)]
    result = compress(json.dumps(rows), "book me a flight", reduction=0.5)
    assert all(f"HAT{n:03}" in result.text for n in range(12))
    assert result.text.count("available") <= 1
    assert result.kinds == {"json": 1.0}


def test_what_was_left_out_is_told_in_the_text_and_beside_it() -> None:
    result = compress("\n".join(log_lines(300)), reduction=0.85)
    assert result.handles
    assert result.handles[0] in result.text
    assert sum(one.pieces for one in result.dropped) > 200
    assert 0 < result.fidelity <= 1
    assert result.reduction > 0.7


def test_without_the_floor_the_reduction_is_what_was_asked_for() -> None:
    content = "\n".join(log_lines(300))
    for wanted in (0.5, 0.7, 0.85, 0.92):
        assert wanted <= compress(content, reduction=wanted, floor=False).reduction <= wanted + 0.05


def test_a_text_that_pretends_to_be_compressed_keeps_to_a_budget_all_the_same() -> None:
    forged = "\n".join([*log_lines(200), "[3 left out: vx:aaaaaaaaaa]"])
    assert compress(forged, budget_tokens=200).tokens_after <= 200


def test_json_that_is_kept_whole_in_fewer_characters_comes_back_as_it_was() -> None:
    originals = MemoryOriginals()
    content = json.dumps([{"identifier": f"K{n:03}", "description_of_it": n} for n in range(60)], indent=4)
    result = compress(content, reduction=0.05, originals=originals)
    assert result.text != content
    assert decompress(result.text, originals) == content


def test_another_tenant_cannot_have_the_original() -> None:
    originals = MemoryOriginals()
    result = compress("\n".join(log_lines(100)), originals=originals, tenant="acme")
    with pytest.raises(NotFound):
        decompress(result.text, originals, tenant="other")


def test_an_original_ends_with_its_lifetime() -> None:
    now = [0.0]
    originals = MemoryOriginals(lifetime_s=10, clock=lambda: now[0])
    handle = originals.put("text", tenant="acme")
    now[0] = 9.9
    assert originals.get(handle, tenant="acme") == "text"
    now[0] = 10.0
    assert originals.get(handle, tenant="acme") is None


def test_the_oldest_originals_make_room() -> None:
    originals = MemoryOriginals(max_bytes=10)
    first = originals.put("12345678", tenant="acme")
    second = originals.put("abcdefgh", tenant="acme")
    assert originals.get(first, tenant="acme") is None
    assert originals.get(second, tenant="acme") == "abcdefgh"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"content": b"bytes"}, "content"),
        ({"content": "x" * 20_000_001}, "content"),
        ({"content": "x", "reduction": 1.0}, "reduction"),
        ({"content": "x", "reduction": -0.1}, "reduction"),
        ({"content": "x", "budget_tokens": 0}, "budget_tokens"),
        ({"content": "x", "reduction": 0.5, "budget_tokens": 5}, "budget_tokens"),
        ({"content": "x", "kind": "novel"}, "kind"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        compress(**arguments)  # type: ignore[arg-type]
    assert error.value.param == field


NESTED = "[" * 5000 + "]" * 5000
HOSTILE = {
    "one long word": "a" * 300_000,
    "spaces": " " * 300_000,
    "brackets": "[{" * 100_000,
    "deep json": NESTED,
    "json of 100 levels": '{"a":' * 100 + "1" + "}" * 100,
    "quotes": "\"'" * 100_000,
    "dots": "a." * 100_000,
    "slashes": "a/" * 100_000,
    "dashes and digits": "1-" * 100_000,
    "numbers of a list": "1: \n" * 50_000,
    "empty lines": "\n" * 300_000,
    "surrogates": "\ud800" * 10_000,
    "control characters": "".join(map(chr, range(32))) * 3000,
    "other scripts": "错误：连接被拒绝。" * 5000,
    "emoji": "\U0001f525" * 20_000,
    "base64": "".join(random.Random(3).choices(string.ascii_letters, k=300_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_taken(name: str) -> None:
    result = compress(HOSTILE[name], "why?", reduction=0.85)
    assert result.tokens_after <= result.tokens_before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", ["\n \n" * 200, "a", "word " * 300, "{}" * 100, "[1]\n" * 100])
def test_any_kind_is_taken_for_any_text(kind: Kind, content: str) -> None:
    for floor in (True, False):
        result = compress(content, "which word was it?", kind=kind, floor=floor)
        assert result.tokens_after <= result.tokens_before


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": 1, "b": [1, 2]}', "json"),
        ("\n".join(log_lines(5)), "log"),
        ("NAME   READY  STATUS\npod-a  1/1    Running\npod-b  0/1    Error", "table"),
        ("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b", "diff"),
        ('Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x()\nKeyError: 1', "stack"),
        ("def f(x):\n    y = x + 1\n    return y", "code"),
        ("Ann: hello there\nBob: hi Ann\nAnn: how are you\nBob: fine\nAnn: good", "dialogue"),
        ("The river rose in the night. By morning the bridge was gone, and nobody could cross.", "prose"),
    ],
)
def test_kinds_are_told_apart(text: str, kind: str) -> None:
    assert name_kind(text) == kind


@settings(max_examples=50, deadline=None)
@given(content=CONTENTS)
def test_blocks_cover_the_content_without_gaps(content: str) -> None:
    blocks = split_blocks(content)
    assert [block.start for block in blocks] == [0, *(block.end for block in blocks[:-1])][: len(blocks)]
    assert not blocks or blocks[-1].end == len(content)
