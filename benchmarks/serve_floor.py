"""What Ray Serve itself costs: a no-op deployment, and the same with one hop to an actor."""

from __future__ import annotations

from typing import Any

import ray
from fastapi import FastAPI
from ray import serve

app = FastAPI()


@ray.remote(num_cpus=0)
class Echo:
    """An async actor that answers at once."""

    async def echo(self, text: str) -> str:
        return text


@serve.deployment(num_replicas=2, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.1})
@serve.ingress(app)
class Floor:
    """`/no-op` and `/hop`."""

    def __init__(self) -> None:
        self._actor: Any = Echo.remote()  # type: ignore[attr-defined]

    @app.get("/no-op")
    async def no_op(self) -> dict[str, str]:
        return {"text": "hello"}

    @app.get("/hop")
    async def hop(self) -> dict[str, str]:
        return {"text": await self._actor.echo.remote("hello")}


def deploy_floor() -> None:
    """Under `/floor`, beside the gateway."""
    serve.run(Floor.bind(), name="floor", route_prefix="/floor")  # type: ignore[attr-defined]
