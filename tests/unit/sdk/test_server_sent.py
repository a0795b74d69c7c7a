"""Server-sent events out of bytes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ossa.sdk.server_sent import EventDecoder, ServerEvent

STREAM = (
    ": keep-alive\n\n"
    'id: 0\nevent: step\ndata: {"a": "\u2028x"}\n\n'
    "data: first\r\ndata: second\r\n\r\n"
    "retry: 10\nid: 7\r\rdata:tight\r\r"
    "data: [DONE]\n\n"
    "data: never finished"
).encode()
EVENTS = [
    ServerEvent(data='{"a": "\u2028x"}', type="step", id="0"),
    ServerEvent(data="first\nsecond", id="0"),
    ServerEvent(data="tight", id="7"),
    ServerEvent(data="[DONE]", id="7"),
]


def test_whole_events_are_read_and_an_unfinished_one_is_not() -> None:
    assert EventDecoder().feed(STREAM) == EVENTS


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=12))
def test_any_cut_into_chunks_gives_the_same_events(cuts: list[int]) -> None:
    decoder = EventDecoder()
    marks = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(marks)]
    assert [event for piece in pieces for event in decoder.feed(piece)] == EVENTS
