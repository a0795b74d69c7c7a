from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.models.sse import MAX_EVENT_BYTES, SseOverflow, SseParser

STREAM = (
    b"\xef\xbb\xbf: comment\nevent: x\ndata: one\n\n"
    b"data:two\r\ndata:  three\r\n\r\n"
    b"id: 4\rdata: \xc3\xa4\r\rdata: unfinished"
)
EVENTS = [b"one", b"two\n three", "ä".encode()]


def test_events_are_read_with_every_kind_of_line_end() -> None:
    assert SseParser().feed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_however_the_chunks_are_cut(cuts: list[int]) -> None:
    parser = SseParser()
    edges = [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in pairwise(edges) for event in parser.feed(STREAM[start:end])]
    assert events == EVENTS


def test_an_event_without_end_is_refused() -> None:
    parser = SseParser()
    with pytest.raises(SseOverflow):
        for _ in range(MAX_EVENT_BYTES // 2**20 + 2):
            parser.feed(b"data: " + b"x" * 2**20 + b"\n")
