"""What the seam of hooks costs a chat.

    python -m benchmarks.hooks --out hooks.json

A gateway in this process, over stores in memory and a fake agent, with its standard extensions. The calls of hooks that
one chat makes are recorded. Then rounds alternate: chats through the gateway, and the same calls replayed over twins
that override the same methods as the real hooks and do nothing in them. The replay costs what calling the hooks costs,
without their work. HTTP, PostgreSQL and the channel to agents are left out, so a real chat costs more and the share of
the seam is smaller than said here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from ossa.app.extensions import Backends, extensions_of
from ossa.contracts.configuration import GatewaySettings
from ossa.gateway.application import create_app
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Hooks, TaskHook
from ossa.testing.app import admin_secret
from ossa.testing.gateway import FakeFleet, FakeLink
from ossa.testing.stores import MemoryStores
from ossa.vortex.service import CompressionService

BAR = 0.01
METHODS = [name for name in vars(TaskHook) if not name.startswith("_")]
BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "What is a placement group?"}]}).encode()


def twin_of(hook: TaskHook) -> TaskHook:
    """A hook that overrides the same methods and does nothing in them."""
    kind = type(hook)
    overridden = [name for name in METHODS if getattr(kind, name) is not getattr(TaskHook, name)]
    return type(f"Twin{kind.__name__}", (TaskHook,), {name: _copy(getattr(TaskHook, name)) for name in overridden})()


def _copy(function: Any) -> Any:
    return type(function)(function.__code__, function.__globals__, function.__name__, function.__defaults__)


def build() -> tuple[FastAPI, MemoryStores, list[TaskHook]]:
    """The application, its stores, and the twins of its hooks."""
    stores = MemoryStores()
    core = GatewayCore(
        settings=GatewaySettings(key_cache_s=3600),
        stores=stores,
        fleet=FakeFleet.of({"intelligence": 20, "security": 20}, store=stores.fleet),
        link=FakeLink(steps=1),
    )
    extensions = extensions_of(core, Backends(compressor=CompressionService(stores.originals)), installed=())
    twins = [twin_of(hook) for extension in extensions for hook in extension.hooks]
    return create_app(core, extensions, drain_s=0.2), stores, twins


class Recorder:
    """Stands before the hooks of a gateway and notes what is called."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._hooks, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append((name, arguments, options))
            return method(*arguments, **options)

        return call


async def calls_of_a_chat(app: FastAPI, gateway: Gateway) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    dispatcher = app.state.context.dispatcher
    hooks, recorder = dispatcher.hooks, Recorder(dispatcher.hooks)
    dispatcher.hooks = dispatcher.scheduler._hooks = recorder
    await gateway.chat()
    dispatcher.hooks = dispatcher.scheduler._hooks = hooks
    return recorder.calls


class Gateway:
    """Chats with an application by its ASGI interface."""

    def __init__(self, app: FastAPI, secret: str) -> None:
        self._app = app
        headers = [(b"authorization", f"Bearer {secret}".encode()), (b"content-length", str(len(BODY)).encode())]
        self._scope = {
            "type": "http", "method": "POST", "path": "/v1/chat/completions", "raw_path": b"/v1/chat/completions",
            "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http", "root_path": "",
            "server": ("gateway", 80), "client": ("client", 1),
        }  # fmt: skip

    async def chat(self) -> None:
        sent = [{"type": "http.request", "body": BODY, "more_body": False}]
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            if sent:
                return sent.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await self._app(dict(self._scope), receive, send)
        assert statuses == [200], statuses


async def measure(rounds: int, chats: int) -> dict[str, list[float]]:
    """CPU microseconds of a chat, and of the calls of its hooks, by round."""
    took: dict[str, list[float]] = {"chat": [], "seam": []}
    app, stores, twins = build()
    async with app.router.lifespan_context(app):
        gateway = Gateway(app, await admin_secret(stores))
        calls, hooks = await calls_of_a_chat(app, gateway), Hooks(twins)
        for number in range(rounds + 1):  # the first round is not counted
            for name in list(took) if number % 2 else list(took)[::-1]:
                began = time.process_time()
                for _ in range(chats):
                    await (gateway.chat() if name == "chat" else replay(hooks, calls))
                if number:
                    took[name].append((time.process_time() - began) / chats * 1e6)
    return took


async def replay(hooks: Hooks, calls: Sequence[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
    for name, arguments, options in calls:
        result = getattr(hooks, name)(*arguments, **options)
        if asyncio.iscoroutine(result):
            await result


def report(took: dict[str, list[float]]) -> dict[str, Any]:
    shares = [seam / chat for chat, seam in zip(took["chat"], took["seam"], strict=True)]
    low, *_, high = statistics.quantiles(shares, n=20)
    share = statistics.median(shares)
    return {
        "results": {
            "chat_cpu_us": statistics.median(took["chat"]),
            "seam_us": statistics.median(took["seam"]),
            "seam_share": share,
            "seam_share_p5_p95": [low, high],
            "rounds": len(shares),
        },
        "aims": [{"name": "seam_share", "value": share, "bar": BAR, "met": share <= BAR}],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--chats", type=int, default=200, help="in one round")
    parser.add_argument("--data", help="not used: this benchmark makes its own requests")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    made = report(asyncio.run(measure(options.rounds, options.chats)))
    results = made["results"]
    low, high = results["seam_share_p5_p95"]
    print(f"a chat          {results['chat_cpu_us']:8.1f} µs CPU in the gateway (median of {results['rounds']} rounds)")
    print(f"calls of hooks  {results['seam_us']:8.1f} µs, {results['seam_share']:.2%} (p5 {low:.2%}, p95 {high:.2%})")
    print(f"aim             {'met' if made['aims'][0]['met'] else 'MISSED'}: at most {BAR:.0%}")
    if options.out is not None:
        options.out.write_text(json.dumps(made, indent=2) + "\n")
    return 0 if made["aims"][0]["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
