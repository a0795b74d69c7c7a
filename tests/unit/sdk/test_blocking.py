"""A blocking client does its calls in the caller's own thread, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import ossa
from ossa.sdk.blocking import run

TASK = {"id": "task_1", "status": "running"}


class Body(httpx.SyncByteStream):
    """An endless stream of events that knows whether it was closed."""

    def __init__(self, event: str) -> None:
        self.event = event.encode()
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield self.event

    def close(self) -> None:
        self.closed = True


def streaming(event: str) -> tuple[ossa.Client, Body]:
    body = Body(event)
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)
    return ossa.connect("http://fleet", transport=httpx.MockTransport(lambda _: answer)), body


def chatting() -> tuple[ossa.Client, Body]:
    return streaming(f"data: {json.dumps({'choices': [{'delta': {'content': 'x'}}]})}\n\n")


def test_no_thread_is_started_and_closing_closes_the_connections() -> None:
    before = threading.active_count()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=TASK))
    with ossa.connect("http://fleet", transport=transport) as client:
        assert client.tasks.get("task_1").status == "running"
        assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        client.tasks.get("task_1")


def test_a_stream_that_is_left_early_is_closed_at_once() -> None:
    client, body = streaming("id: 1\nevent: step\ndata: {}\n\n")
    for event in client.tasks.events("task_1"):
        assert event.type == "step"
        break
    assert body.closed


def test_a_chat_stream_that_is_closed_or_dropped_is_closed_at_once() -> None:
    client, body = chatting()
    with client.chat("Hi", stream=True) as stream:
        assert next(iter(stream)) == "x"
        assert not body.closed
    assert body.closed
    client, body = chatting()
    stream = client.chat("Hi", stream=True)
    for _ in stream:
        break
    del stream
    gc.collect()
    assert body.closed


async def test_a_blocking_client_works_inside_a_running_loop() -> None:
    before = asyncio.all_tasks()  # the loop is the session's: other tests' tasks may be on it
    client, body = chatting()
    for piece in client.chat("Hi", stream=True):
        assert piece == "x"
        break
    gc.collect()
    assert body.closed
    assert asyncio.all_tasks() == before


def test_one_client_serves_several_threads_at_once() -> None:
    both = threading.Barrier(2, timeout=10)

    def answer(_: httpx.Request) -> httpx.Response:
        both.wait()  # passes only when two calls are under way
        return httpx.Response(200, json=TASK)

    client = ossa.connect("http://fleet", transport=httpx.MockTransport(answer))
    with ThreadPoolExecutor(2) as pool:
        assert {task.id for task in pool.map(client.tasks.get, ("a", "b"))} == {"task_1"}


def test_ctrl_c_interrupts_a_call_where_it_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and says nothing
        # A shell's background jobs ignore the signal, and their children inherit that.
        program = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        program += f"import ossa\nossa.connect('http://127.0.0.1:{server.getsockname()[1]}', 'k').version()"
        child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
        connection, _ = server.accept()
        connection.recv(1)
        os.kill(child.pid, signal.SIGINT)
        _, shown = child.communicate(timeout=20)
        connection.close()
    assert shown.rstrip().endswith("KeyboardInterrupt")


def test_something_that_suspends_is_refused() -> None:
    with pytest.raises(RuntimeError, match="event loop"):
        run(asyncio.sleep, 0)
