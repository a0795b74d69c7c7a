"""Counts a gateway's tasks by tenant, and refuses those of blocked tenants."""

from __future__ import annotations

import asyncio
from collections import Counter

import prometheus_client
from fastapi import APIRouter
from starlette.requests import Request

from ossa.extensions import Check, Event, Extension, Forbidden, GatewayCore, TaskHook, context_of

router = APIRouter(tags=["Toy"])


class Toy:
    """What the routes and the hook share."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.blocked = {"blocked"}
        self.tasks: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.rounds = 0
        self.ended = prometheus_client.Counter("ossa_toy_tasks_total", "Tasks that ended", registry=registry)

    async def count_rounds(self) -> None:
        while True:
            self.rounds += 1
            await asyncio.sleep(0.01)

    async def on_event(self, event: Event) -> None:
        self.events[event.type] += 1

    async def healthy(self) -> Check:
        return Check(ok=self.rounds > 0, detail=f"{self.rounds} rounds")


class ToyHook(TaskHook):
    def __init__(self, toy: Toy) -> None:
        self._toy = toy

    async def admit(self, task, caller):
        if task.tenant in self._toy.blocked:
            raise Forbidden(f"The tenant {task.tenant} is blocked.")

    def ended(self, run, outcome):
        self._toy.tasks[run.task.tenant] += 1
        self._toy.ended.inc()


@router.get("/api/v1/toy")
async def show(request: Request) -> dict[str, object]:
    toy = context_of(request).service(Toy, "toy")
    return {"tasks": toy.tasks, "events": toy.events, "rounds": toy.rounds}


def extension(core: GatewayCore) -> Extension:
    toy = Toy(core.metrics.registry)
    return Extension(
        "toy",
        hooks=[ToyHook(toy)],
        routers=[router],
        service=toy,
        loops={"toy": toy.count_rounds},
        consumers={"toy": toy.on_event},
        health={"toy": toy.healthy},
    )
