"""Counts the files of `ossa` whose code runs for one chat, in the order of the way.

    python -m scripts.walk [--dsn postgresql://...]

One process holds all: the HTTP application with its standard extensions, the journal in PostgreSQL, the channel, an
agent with its real turn, and the client of a model endpoint (scripted). The chat is not streamed, has no tools and no
budget. Code that runs without a chat too (loops) does not count, nor does what is read at import.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
WARM_UP = 3
IDLE_S = 1.5

Called = dict[tuple[str, str], None]
"""Files and functions, in the order of their first call."""


@contextmanager
def recorded() -> Iterator[Called]:
    called: Called = {}
    prefix = str(ROOT / "ossa") + "/"

    def profile(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(prefix):
            called.setdefault((frame.f_code.co_filename.removeprefix(prefix), frame.f_code.co_qualname))

    sys.setprofile(profile)
    try:
        yield called
    finally:
        sys.setprofile(None)


async def walk(dsn: str) -> list[str]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(await _gateway(stack, dsn))
        body = {"model": "auto", "messages": [{"role": "user", "content": "What is a placement group?"}]}
        for _ in range(WARM_UP):
            (await http.post("/v1/chat/completions", json=body)).raise_for_status()
        with recorded() as idle:
            await asyncio.sleep(IDLE_S)
        with recorded() as called:
            (await http.post("/v1/chat/completions", json=body)).raise_for_status()
    return list(dict.fromkeys(file for file, function in called if (file, function) not in idle and _counts(file)))


def _counts(file: str) -> bool:
    return not file.startswith("testing/")


async def _gateway(stack: AsyncExitStack, dsn: str) -> httpx.AsyncClient:
    from ossa.agent import RunnerFactory
    from ossa.app.extensions import Backends, extensions_of
    from ossa.channel import ChannelLink
    from ossa.channel.server import ChannelServer
    from ossa.contracts.configuration import Database, GatewaySettings, Models
    from ossa.contracts.task import Assignment
    from ossa.gateway.application import create_app
    from ossa.gateway.core import GatewayCore
    from ossa.manifest import catalogue
    from ossa.stores.postgres import PostgresStores
    from ossa.testing.app import admin_secret
    from ossa.testing.gateway import FakeFleet, fake_agent
    from ossa.testing.models.server import ScriptedModelServer

    model = await stack.enter_async_context(ScriptedModelServer())
    endpoint = {"base_url": model.base_url, "model": "scripted", "api_key": "none"}
    models = Models.model_validate({"tiers": {"standard": endpoint}})
    spec = catalogue()["security"][0]
    server = ChannelServer(token="walk", agent_id="security-000")
    assignment = Assignment(agent_id="security-000", pool="security", spec=spec)
    runner = RunnerFactory(models)(assignment)
    server.set_runner(runner, slots=4, agent_id="security-000")
    address = await server.start()
    stores = PostgresStores(Database(), dsn)
    core = GatewayCore(
        settings=GatewaySettings(),
        stores=stores,
        fleet=FakeFleet([fake_agent("security-000", address=address)]),
        link=ChannelLink(lambda: "walk"),
    )
    app = create_app(core, extensions_of(core, Backends(), installed=()), drain_s=0.2)
    await stack.enter_async_context(app.router.lifespan_context(app))
    headers = {"authorization": f"Bearer {await admin_secret(stores)}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway", headers=headers)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsn", help="a PostgreSQL to use; default: an embedded one, for this run")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.dsn:
        files = asyncio.run(walk(options.dsn))
    else:
        from ossa.embedded.postgres import EmbeddedPostgres

        with tempfile.TemporaryDirectory() as folder:
            server = EmbeddedPostgres(Path(folder) / "postgres")
            try:
                files = asyncio.run(walk(server.start()))
            finally:
                server.stop()
    if options.json:
        print(json.dumps(files))
    else:
        print("\n".join(f"{number:3} ossa/{file}" for number, file in enumerate(files, 1)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
