from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.gateway.listener import Diverged, StreamedText


def test_text_passes_as_it_comes() -> None:
    text = StreamedText()
    assert [text.feed("a"), text.feed("bc"), text.close("abcd")] == ["a", "bc", "d"]


def test_what_was_sent_is_skipped_after_a_restart() -> None:
    text = StreamedText()
    text.feed("Hello wor")
    text.restart()
    assert text.feed("Hel") == ""
    assert text.feed("lo world") == "ld"


def test_other_text_diverges() -> None:
    text = StreamedText()
    text.feed("Hello")
    text.restart()
    with pytest.raises(Diverged):
        text.feed("Hi")


def test_a_settled_step_is_not_said_again() -> None:
    text = StreamedText()
    text.feed("Let me look. ")
    assert text.settle("Let me look. ") == ""
    text.restart()
    assert text.feed("Found it.") == "Found it."
    assert text.close("Found it.") == ""


def test_the_rest_of_a_settled_step_is_told_if_a_part_of_it_was() -> None:
    text = StreamedText()
    text.feed("Hello")
    text.restart()
    assert text.settle("Hello world") == " world"
    assert text.settle("Nobody heard of this step.") == ""


def test_a_step_that_ends_short_of_what_was_sent_diverges() -> None:
    text = StreamedText()
    text.feed("Hello world")
    for short in ("Hello", None):
        with pytest.raises(Diverged):
            text.settle(short)


def test_a_final_message_that_differs_from_what_was_sent_diverges() -> None:
    text = StreamedText()
    text.feed("Hello")
    with pytest.raises(Diverged):
        text.close("Hi")


@given(st.lists(st.text(min_size=1), min_size=1), st.integers(0, 20), st.integers(1, 7))
def test_any_cut_and_any_other_slicing_gives_the_same_whole(pieces: list[str], cut: int, width: int) -> None:
    whole = "".join(pieces)
    text = StreamedText()
    heard = [text.feed(piece) for piece in pieces[:cut]]
    text.restart()
    heard += [text.feed(whole[i : i + width]) for i in range(0, len(whole), width)]
    heard.append(text.close(whole))
    assert "".join(heard) == whole
