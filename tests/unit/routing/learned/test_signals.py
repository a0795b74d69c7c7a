"""What a text looks like is counted the same by the short way and the long one."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from ossa.routing.learned.reading import _MARKS, _ascii_counts, _counts, _may

ASCII = st.text(alphabet=string.printable + "\x00\x01\x7f", max_size=200)


@given(ASCII)
def test_characters_of_ascii_are_counted_as_the_patterns_count_them(text: str) -> None:
    assert _ascii_counts(text) == _counts(text)


@given(st.text(max_size=80) | ASCII | st.sampled_from(["Statement 1", "a ___ b", "(A) yes", "II.", '"so"', "why?"]))
def test_no_mark_is_passed_over(text: str) -> None:
    assert not [name for name, pattern in _MARKS.items() if pattern.search(text) and not _may(name, text)]
