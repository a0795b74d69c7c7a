from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.resilience.server_sent import MAX_EVENT_BYTES, EventDecoder, EventOverflow, ServerEvent, encode_event

STREAM = (
    "\ufeff: keep-alive\n\n"
    'id: 0\nevent: step\ndata: {"a": "\u2028x"}\n\n'
    "data: first\r\ndata:  second\r\n\r\n"
    "retry: 10\nid: 7\r\rdata:tight\r\r"
    "event: lost\n\n"
    "data\n\n"
    "data: [DONE]\n\n"
    "data: never finished"
).encode()
EVENTS = [
    ServerEvent('{"a": "\u2028x"}'.encode(), type="step", id="0"),
    ServerEvent(b"first\n second", id="0"),
    ServerEvent(b"tight", id="7"),
    ServerEvent(b"", id="7"),
    ServerEvent(b"[DONE]", id="7"),
]


def test_whole_events_are_read_and_an_unfinished_one_is_not() -> None:
    assert EventDecoder().feed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cut_into_chunks_gives_the_same_events(cuts: list[int]) -> None:
    decoder = EventDecoder()
    edges = [0, *sorted(cuts), len(STREAM)]
    assert [event for start, end in pairwise(edges) for event in decoder.feed(STREAM[start:end])] == EVENTS


@pytest.mark.parametrize(
    "event", [ServerEvent(b"{}"), ServerEvent(b'{"a":1}', type="step", id="3"), ServerEvent(b"[DONE]", type="end")]
)
def test_an_event_is_read_back_from_what_it_is_written_as(event: ServerEvent) -> None:
    assert EventDecoder().feed(encode_event(event.data, type=event.type, id=event.id)) == [event]


def test_an_event_without_end_is_refused() -> None:
    decoder = EventDecoder()
    with pytest.raises(EventOverflow):
        for _ in range(MAX_EVENT_BYTES // 2**20 + 2):
            decoder.feed(b"data: " + b"x" * 2**20 + b"\n")


def test_a_decoder_without_a_bound_takes_an_event_of_any_size() -> None:
    decoder = EventDecoder(max_bytes=None)
    data = b"x" * (MAX_EVENT_BYTES + 1)
    assert decoder.feed(b"data: " + data + b"\n\n") == [ServerEvent(data)]
