from __future__ import annotations

import pickle
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.errors import InvalidRequest
from ossa.vortex.exchange.template import (
    MAX_TEMPLATE_CHARS,
    InvalidTemplate,
    Placeholder,
    PlaceholderLimit,
    PlaceholderType,
    Template,
    Trusted,
)

BITS = ("{", "}", "\\", ":", "CONTEXT", "{CONTEXT:", "{INPUT:q}", "{STATE:src:s:x}", "src:s:y}", "a", "\n")
text_like_a_template = st.lists(st.sampled_from(BITS) | st.text(max_size=3), max_size=12).map("".join)
words = st.text(string.ascii_letters + string.digits + "_.@/+-", min_size=1, max_size=20).filter(
    lambda word: word[0].isalnum() or word[0] == "_"
)
placeholders = st.builds(
    Placeholder, st.sampled_from(PlaceholderType), st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True), words, words
)
X = Placeholder(PlaceholderType.STATE, "src", "s", "x")


def parse(text: str) -> Template:
    return Template.parse(Trusted(text))


@given(placeholders)
def test_a_placeholder_is_read_back_from_what_it_is_written_as(placeholder: Placeholder) -> None:
    assert parse(str(placeholder)).parts == (placeholder,)
    assert parse(f"\\{placeholder}").parts == (str(placeholder),)
    assert pickle.loads(pickle.dumps(placeholder)) == placeholder


@given(text_like_a_template)
def test_any_text_is_read_and_loses_nothing_but_the_backslashes_before_placeholders(text: str) -> None:
    meant = re.sub(r"\\(?=\{(?:CONTEXT|STATE):src:s:[xy]\})", "", text)
    assert "".join(map(str, parse(text).parts)) == meant


def test_braces_that_begin_no_placeholder_are_text() -> None:
    text = '{"json": {"a": [1]}} {{x}} {NAME:a:b:c} {context:a:b:c} { CONTEXT:a:b:c} {CONTEXT} \\n \\{'
    assert parse(text).parts == (text,)


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        (r"\{STATE:src:s:x}", ("{STATE:src:s:x}",)),
        (r"\\{STATE:src:s:x}", ("\\", "{STATE:src:s:x}")),
        ("{{STATE:src:s:x}}", ("{", X, "}")),
    ],
)
def test_a_backslash_makes_a_placeholder_text(written: str, parts: tuple[str | Placeholder, ...]) -> None:
    assert parse(written).parts == parts


@pytest.mark.parametrize(
    "text",
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
        "{INPUT:q}",
        "{TEMPORAL:",
    ],
)
def test_what_begins_like_a_placeholder_and_is_none_is_text(text: str) -> None:
    assert parse(text).parts == (text,)


@pytest.mark.parametrize("scope", ["", "a:b", "a}", "{", "a b", "\n", "é", "x" * 129])
def test_a_placeholder_cannot_be_made_of_parts_that_are_not_words(scope: str) -> None:
    current = Placeholder(PlaceholderType.STATE, "src", "current", "x")
    with pytest.raises(InvalidTemplate) as caught:
        current.bound({"src": scope})
    assert isinstance(caught.value, InvalidRequest)
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_only_what_is_called_current_is_bound() -> None:
    assert X.bound({"src": "other"}) == X


def test_only_a_trusted_text_is_read() -> None:
    for other in ("{STATE:src:s:x}", None, Template(("{STATE:src:s:x}",))):
        with pytest.raises(TypeError):
            Template.parse(other)  # type: ignore[arg-type]


def test_a_template_that_is_too_long_is_refused_and_one_full_of_backslashes_is_read() -> None:
    with pytest.raises(PlaceholderLimit):
        parse("x" * (MAX_TEMPLATE_CHARS + 1))
    slashes = "\\" * (MAX_TEMPLATE_CHARS - 100)
    assert parse(slashes).parts == (slashes,)
    assert parse(slashes + " {STATE:src:s:x}").placeholders
    assert parse("{" * MAX_TEMPLATE_CHARS).parts


def test_lifetimes_are_those_of_the_types() -> None:
    lifetimes = {str(kind): kind.lifetime_s for kind in PlaceholderType}
    assert lifetimes == {"CONTEXT": 300, "DATA": 600, "STATE": 60, "METRICS": 60, "TEMPORAL": 0}
