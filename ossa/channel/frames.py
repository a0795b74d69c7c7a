"""Frames: four bytes of length (big-endian), then one JSON object.

Every frame has `t`, its type; those that belong to a turn or a call have `id`, a
number the dispatcher chose, unique on its connection.

    dispatcher -> agent                     agent -> dispatcher
    hello   v, token, takes                 ready    agent_id
                                            refused  reason (then the agent hangs up)
    turn    id, turn (`Turn`)               busy     id, reason
    cancel  id                              delta    id, text, more
    ack     id, seq                         steps    id, seq, sizes, steps: wants an ack (or nack) of seq
    nack    id, seq, code, message, ...     ask      id, seq, ask (`TurnCall`): wants an answer (or nack) to seq
    answer  id, seq, answer                 done     id, result (`TurnResult`)
            (`TurnCallResult`)                       with its steps' sizes
    ping                                    pong

Steps are the last thing in their frame and `sizes` are the bytes of each, so that the dispatcher can store a step as
the agent encoded it. A dispatcher that `takes` ANSWER_IN_OUTCOME gets the final message once: the last step of a result
lacks it (`ossa.contracts.task.ending_bodies`). A peer that knows neither field loses nothing.

A dispatcher that takes ALL_FIELDS gets what a model says besides its text: in `more` of a delta, in the details of a
usage and in the log probabilities of an outcome. One of an earlier version refuses unknown fields, and gets none.

A connection greeted with the process's own secret instead of the fleet's token
is its supervisor's (`ossa.channel.control`), and may call it:

    call    id, method, body                result   id, body
                                            failed   id, code, message
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

PROTOCOL_VERSION = 1
ANSWER_IN_OUTCOME = "answer_in_outcome"
ALL_FIELDS = "all_fields"
MAX_FRAME_BYTES = 64 * 2**20
_LENGTH = struct.Struct("!I")

Frame = dict[str, Any]


class FrameError(Exception):
    """The peer does not speak this protocol; the connection is of no further use."""


def encode(frame: Frame) -> bytes:
    """One frame as bytes. Values may be `orjson.Fragment`s of JSON that is ready."""
    body = orjson.dumps(frame)
    return _LENGTH.pack(len(body)) + body


def encoded_list(bodies: Sequence[bytes]) -> orjson.Fragment:
    return orjson.Fragment(b"[%b]" % b",".join(bodies))


class FrameParser:
    """Bytes in, as they come; whole frames out."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._max = max_frame_bytes

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that `data` completes. Raises `FrameError`."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if size > self._max:
                raise FrameError(f"a frame of {size} bytes is over the bound of {self._max}")
            end = _LENGTH.size + size
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                body = bytes(view[_LENGTH.size : end])
            del self._buffer[:end]
            yield _decode(body)


def _decode(body: bytes) -> Frame:
    try:
        frame = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise FrameError("a frame is not JSON") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("t"), str):
        raise FrameError("a frame is not an object with a type")
    if "sizes" in frame:
        frame["encoded"] = _last_items(body, frame["sizes"])
    return frame


def _last_items(body: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The bytes of the objects in the array that ends the frame."""
    end = body.rindex(b"]")
    items = []
    for size in reversed(sizes):
        item = body[end - size : end]
        if not (item.startswith(b"{") and item.endswith(b"}")):
            raise FrameError("a frame's sizes do not fit its steps")
        items.append(item)
        end -= size + 1
    return items[::-1]
