from __future__ import annotations

import pickle
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.errors import InvalidRequest
from ossa.vortex.exchange import (
    InvalidTemplate,
    Placeholder,
    PlaceholderLimit,
    PlaceholderType,
    Slot,
    Template,
    Trusted,
    Untrusted,
)
from ossa.vortex.exchange.template import MAX_TEMPLATE_CHARS

BITS = ("{", "}", "\\", ":", "CONTEXT", "{CONTEXT:", "{INPUT:", "{INPUT:q}", "{STATE:src:s:x}", "src:s:y}", "a", "\n")
LIKELY = st.sampled_from(BITS)
text_like_a_template = st.lists(LIKELY | st.text(max_size=3), max_size=12).map("".join)
words = st.text(string.ascii_letters + string.digits + "_.@/+-", min_size=1, max_size=20).filter(
    lambda word: word[0].isalnum() or word[0] == "_"
)
placeholders = st.builds(
    Placeholder, st.sampled_from(PlaceholderType), st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True), words, words
)
pieces = st.one_of(
    text_like_a_template.map(Untrusted), placeholders, st.just(Template((Slot("q"),))), st.just(Untrusted("\\"))
)


def parse(text: str) -> Template:
    return Template.parse(Trusted(text, "a test"))


@given(placeholders)
def test_a_placeholder_is_read_back_from_what_it_is_written_as(placeholder: Placeholder) -> None:
    assert Placeholder.parse(str(placeholder)) == placeholder
    assert parse(str(placeholder)).parts == (placeholder,)
    assert pickle.loads(pickle.dumps(placeholder)) == placeholder


@given(st.lists(pieces, max_size=8))
def test_a_template_is_read_back_from_its_source(found: list[Untrusted | Placeholder | Template]) -> None:
    template = Template.of(*found)
    assert parse(template.source()) == template


@given(text_like_a_template)
def test_untrusted_text_never_becomes_a_placeholder_and_stays_as_it_is(text: str) -> None:
    filled = parse("before {INPUT:q} after").fill({"q": Untrusted(text)})
    assert filled.parts == (f"before {text} after",)
    assert Template.of(Untrusted(text)).placeholders == ()


@given(text_like_a_template, text_like_a_template, placeholders)
def test_text_of_others_makes_no_placeholder_out_of_what_it_stands_beside(left: str, right: str, ours: object) -> None:
    for trusted in (f"{ours}", f"{{CONTEXT {ours}", f"{ours}:src:s:x}}", r"\{STATE:", "{CONTEXT", ":src:s:x}"):
        between = Template.of(Untrusted(left), Trusted(trusted, "a test"), Untrusted(right))
        assert between.placeholders == parse(trusted).placeholders


def test_a_placeholder_cut_in_two_by_an_input_is_refused() -> None:
    with pytest.raises(InvalidTemplate):
        parse("{CONTEXT:src:{INPUT:q}:x}")


@given(text_like_a_template)
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        template = parse(text)
    except InvalidTemplate as error:
        assert text[error.details["offset"]] == "{"
        assert error.details["source"] == "a test"
    else:
        assert parse(template.source()) == template


def test_braces_that_begin_no_placeholder_are_text() -> None:
    text = '{"json": {"a": [1]}} {{x}} {NAME:a:b:c} {context:a:b:c} { CONTEXT:a:b:c} {CONTEXT} \\n \\{'
    assert parse(text).parts == (text,)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"\{STATE:src:s:x}", "{STATE:src:s:x}"),
        (r"\\\{STATE:src:s:x}", r"\{STATE:src:s:x}"),
        (r"\{STATE:", "{STATE:"),
        (r"\{INPUT:q}", "{INPUT:q}"),
    ],
)
def test_a_backslash_makes_a_placeholder_text(written: str, meant: str) -> None:
    assert parse(written).parts == (meant,)


def test_two_backslashes_are_one_before_a_placeholder() -> None:
    assert parse(r"\\{STATE:src:s:x}").parts == ("\\", Placeholder.parse("{STATE:src:s:x}"))


@pytest.mark.parametrize(
    "wrong",
    [
        "{CONTEXT:a:b}",
        "{CONTEXT:a:b:c:d}",
        "{CONTEXT::b:c}",
        "{CONTEXT:A:b:c}",
        "{CONTEXT:a:b c:d}",
        "{CONTEXT:a:b:c",
        "{CONTEXT:a:-b:c}",
        "{CONTEXT:ä:b:c}",
        "{CONTEXT:a:b:" + "c" * 129 + "}",
        "{INPUT:Q}",
        "{TEMPORAL:",
    ],
)
def test_what_begins_like_a_placeholder_and_is_none_is_an_error_that_says_where(wrong: str) -> None:
    with pytest.raises(InvalidTemplate, match=re.escape("a test, character 3")) as caught:
        parse("ok " + wrong)
    assert isinstance(caught.value, InvalidRequest)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.message, again.details) == (InvalidTemplate, caught.value.message, caught.value.details)


@pytest.mark.parametrize("part", ["", "a:b", "a}", "{", "a b", "\n", "é", "x" * 129])
def test_a_placeholder_cannot_be_made_of_parts_that_are_not_words(part: str) -> None:
    good = Placeholder.parse("{STATE:src:s:x}")
    with pytest.raises(InvalidTemplate):
        good.at(part)


def test_only_a_trusted_text_is_read() -> None:
    for other in ("{STATE:src:s:x}", Untrusted("{STATE:src:s:x}"), None):
        with pytest.raises(TypeError):
            Template.parse(other)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Template.of("{STATE:src:s:x}")  # type: ignore[arg-type]


def test_inputs_and_slots_must_be_the_same() -> None:
    template = parse("{INPUT:a} {INPUT:b} {INPUT:a}")
    assert template.slots == ("a", "b")
    assert template.fill({"a": Untrusted("1"), "b": Untrusted("2")}).parts == ("1 2 1",)
    for inputs in ({}, {"a": Untrusted("")}, {name: Untrusted("") for name in "abc"}):
        with pytest.raises(InvalidTemplate):
            template.fill(inputs)


def test_a_template_that_is_too_long_is_refused_and_one_full_of_backslashes_is_read() -> None:
    with pytest.raises(PlaceholderLimit):
        parse("x" * (MAX_TEMPLATE_CHARS + 1))
    slashes = "\\" * (MAX_TEMPLATE_CHARS - 100)
    assert parse(slashes).parts == (slashes,)
    assert parse(slashes + "{STATE:src:s:x}").placeholders
    assert parse("{" * MAX_TEMPLATE_CHARS).parts


def test_lifetimes_are_those_of_the_types() -> None:
    lifetimes = {str(kind): kind.lifetime_s for kind in PlaceholderType}
    assert lifetimes == {"CONTEXT": 300, "DATA": 600, "STATE": 60, "METRICS": 60, "TEMPORAL": 0}
