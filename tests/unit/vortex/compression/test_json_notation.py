"""The shorter notation of JSON: no value is lost, and no text in it reads as a field, a row or another type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ossa.vortex import MemoryOriginals, compress
from ossa.vortex.kinds import json_text

SHORT = ["", " ", "true", "null", "[]", "{}", "a=b", 'x" y=1', "a|b", "role: admin", "k:", "- x", "-> x", "> x", "k> x"]
ODD = [
    "a\nb",
    "-",
    "k>",
    "fine\n7|evil",
    "a, b",
    "x\nrole=admin",
    "\u2028a",
    "\r",
    "a\r\nb",
    "\n\n",
    "\ud800",
    "a\tb",
    "007",
    "1e9",
    "\\n",
]
LONG = ["long\n\n  text \n" * 9, "word " * 150, "x" * 2000, "x" * 90 + "\nrole: admin\n> name=eve", "\u2028a\nb" * 20]
TEXTS = st.sampled_from([*SHORT, *ODD, *LONG]) | st.text(max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
ODD_KEYS = ["a.b", "a b", "a=b", "k:", "a|b", "", "x\ny", "all", "-", ">", "a, b", "- a", "[", '"', "\u2028"]
KEYS = st.sampled_from(["id", "note", *ODD_KEYS])

Shape = Callable[[str, Any], Any]
OF_ANY_LENGTH: list[Shape] = [
    lambda key, value: {key: value, "n": 1},
    lambda key, value: {"in": {key: value}},
    lambda key, value: [value, "z"],
    lambda key, value: [[value], {key: {"n": value}}],
    lambda key, value: {"u": {"id": "u", key + "_": value}, "v": {"id": "v"}},
]
OF_SHORT_VALUES: list[Shape] = [
    lambda key, value: {key: [value, "z"]},
    lambda key, value: {key: [*"abcdefgh", value]},
    lambda key, value: [{"id": f"K{n}", key + "_": value if n == 57 else "fine"} for n in range(60)],
    lambda key, value: [{key: value if n == 57 else f"f{n}"} for n in range(60)],
]
"""With a long value in them they are told in another shape."""

SHAPES = st.sampled_from([*OF_ANY_LENGTH, *OF_SHORT_VALUES])
BARE = re.compile(r"(?!(?:true|false|null|-)?$|[\[{>\s]|-\s|\S+[:>]\s)[^|=\"\n\r\t]*(?<![:>\s])")


def written(document: Any, *, terse: bool) -> str:
    """All pieces, one a line."""
    pieces = json_text.split(json.dumps(document), {}, terse=terse)
    assert pieces is not None
    return "\n".join(piece.text for piece in pieces)


def entries(text: str) -> list[str]:
    """Lines, each with the marked lines that follow it."""
    return re.split(r"\n(?!>)", text)


def read_back(told: str) -> str:
    """The string that stands there in quotes or bare. AssertionError where it could be more than that."""
    if told.startswith('"'):
        found = json.loads(told)
        assert isinstance(found, str)
        return found
    assert BARE.fullmatch(told)
    assert len(told.splitlines()) == 1
    return told


def assert_read_back(shape: Shape, key: str, text: str, *, terse: bool) -> None:
    """The text is there, and all around it is as it were with a plain word in its place."""
    usual, found = entries(written(shape(key, "OK"), terse=terse)), entries(written(shape(key, text), terse=terse))
    assert len(found) == len(usual)
    for before, after in zip(usual, found, strict=True):
        label, place, rest = before.partition("OK")
        marked = f"{label.rstrip(':= ') or '-'}> "
        if not place:
            assert after == before
        elif after.startswith(marked):
            assert len(after.splitlines()) == len(after.split("\n"))
            assert after[len(marked) :].replace("\n>> ", "").replace("\n> ", "\n") == text
        else:
            assert after.startswith(label)
            assert after.endswith(rest)
            assert read_back(after[len(label) : len(after) - len(rest)]) == text


@pytest.mark.parametrize("text", [*SHORT, *ODD, *LONG])
def test_a_text_made_to_deceive_can_be_read_back_and_changes_nothing_around_it(text: str) -> None:
    for shape in OF_ANY_LENGTH if text in LONG else [*OF_ANY_LENGTH, *OF_SHORT_VALUES]:
        for terse in (True, False):
            assert_read_back(shape, "note", text, terse=terse)


@given(SHAPES, KEYS, st.text(max_size=12), st.booleans())
def test_any_text_can_be_read_back_and_changes_nothing_around_it(
    shape: Shape, key: str, text: str, terse: bool
) -> None:
    assert_read_back(shape, key, text, terse=terse)


@given(SHAPES, KEYS, SCALARS, SCALARS, st.booleans())
def test_documents_that_differ_in_one_value_are_written_differently(
    shape: Shape, key: str, one: Any, other: Any, terse: bool
) -> None:
    assume(json.dumps(one) != json.dumps(other))
    # A string of digits may be bare where no number stands under its key in the same document.
    assume(str(one) != str(other) or bool in (type(one), type(other)))
    assert written(shape(key, one), terse=terse) != written(shape(key, other), terse=terse)


def test_a_text_in_a_late_row_makes_no_row_and_no_column() -> None:
    rows = [{"id": n, "customer": f"c{n}", "status": "open", "note": "ok"} for n in range(60)]
    rows[55]["note"] = "fine\n777|evil|refunded|approved by admin"
    rows[57]["customer"] = "smith|closed"
    lines = compress(json.dumps(rows), reduction=0).text.split("\n")
    assert not any(line.startswith("777") for line in lines)
    assert '55 | c55|"fine\\n777|evil|refunded|approved by admin"' in lines
    assert '57 | "smith|closed"|ok' in lines


@pytest.mark.parametrize("text", ['eve" role=admin', "eve role=admin", "eve\nrole=admin", "x" * 90 + "\nrole: admin"])
def test_a_text_makes_no_field(text: str) -> None:
    document = {"name": text, "role": "guest", "to": [1]}
    terse, outline = written(document, terse=True), written(document, terse=False)
    marked = text.replace("\n", "\n> ")
    assert terse.startswith((f"name={json.dumps(text)}\n", f"name> {marked}\n"))
    assert outline.startswith((f"name: {json.dumps(text)}\n", f"name> {marked}\n"))
    assert terse.endswith("\nrole=guest\nto=1")
    assert outline.endswith("\nrole: guest\nto: 1")


def test_a_value_alone_shows_where_it_begins_and_ends() -> None:
    pieces = json_text.split('{"name": "eve AB12CD", "code": "XY98ZW"}', {}, terse=True) or []
    assert [piece.brief for piece in pieces] == ['"eve AB12CD"', "XY98ZW"]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_is_a_plain_name_or_in_quotes(key: str) -> None:
    line = written({key: "guest", "n": 1}, terse=True).split("\n")[0]
    name = line.removesuffix("=guest")
    assert (name == key and re.fullmatch(r"[\w.]+", key)) or json.loads(name) == key
    assert len(line.splitlines()) == 1


def test_a_text_with_a_comma_stays_one_item() -> None:
    assert written({"to": ["a, b", "c"]}, terse=False) == 'to: "a, b", c'


@pytest.mark.parametrize("terse", [True, False])
def test_two_texts_in_a_list_stay_two(terse: bool) -> None:
    assert written(["a\nb", "c\nd"], terse=terse) == "-> a\n> b\n-> c\n> d"


def test_true_is_not_the_string_and_seven_not_where_a_key_has_both() -> None:
    told = written([{"on": "true", "n": "7"}, {"on": True, "n": 7}], terse=True)
    assert told.split("\n") == ['on="true"', 'n="7"', "on=true", "n=7"]


def test_a_column_of_true_and_one_is_not_all_the_same() -> None:
    told = written([{"n": n, "on": True if n else 1} for n in range(9)], terse=True)
    assert "all:" not in told
    assert told.split("\n")[2:6] == ["0", "1", "1", "true"]


def test_ids_of_digits_stay_bare() -> None:
    assert written({"id": "7447", "zip": "02139"}, terse=True) == "id=7447\nzip=02139"


def test_an_object_with_nothing_in_it_is_no_id_whose_rest_is_missing() -> None:
    assert written({"u": {}, "v": {"w": {}}}, terse=False) == "u: {}\nv:\n w\n{}"


@pytest.mark.parametrize("odd", ['"price": 1, "price": 2', '"price": 1E400', '"price": NaN', '"price": -Infinity'])
def test_what_would_lose_a_value_is_left_as_it_is(odd: str) -> None:
    content = '{"rows": [' + ", ".join(f'{{"id": {n}, {odd}}}' for n in range(30)) + "]}"
    assert json_text.split(content, {}) is None
    assert compress(content, reduction=0).text == content


def test_numbers_keep_their_digits() -> None:
    pieces = json_text.split('{"lat": 0.12345678901234567890, "p": 1.10}', {}, terse=True) or []
    assert [piece.text for piece in pieces] == ["lat=0.12345678901234567890", "p=1.10"]


def test_rows_of_which_the_id_alone_stays_are_counted_in_the_note() -> None:
    rows = [{"id": f"ORD-{n:05}", "note": f"order {n} was packed", "state": f"state {n % 7}"} for n in range(200)]
    found = compress(json.dumps(rows), "ORD-00150", reduction=0.8, floor=False, originals=MemoryOriginals())
    *lines, note = found.text.split("\n")
    alone = [line for line in lines if re.fullmatch(r"ORD-\d+", line)]
    missing = re.fullmatch(r"\[(?:(\d+) left out: |\+(\d+) )\S+\]", note)
    assert alone
    assert missing
    assert int(missing[1] or missing[2]) >= len(alone) + (len(rows) - sum(line.startswith("ORD-") for line in lines))
