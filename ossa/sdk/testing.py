"""A fleet in memory, for tests of programs that use the client. No network, no processes.

    fleet = FakeGateway()
    fleet.say("Paris")
    client = ossa.connect("http://fleet", "key", transport=fleet)
    assert client.chat("Capital of France?").text == "Paris"

It speaks the shapes of the HTTP API, one turn of it a request, and holds no model, no limits and no journal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx

from ossa.contracts.errors import NotFound, OssaError
from ossa.sdk.fake_cost import FakeCost
from ossa.sdk.fake_memory import FakeMemories
from ossa.sdk.fake_routing import FakeRouting
from ossa.sdk.fake_scaling import FakeScaling

Handler = Callable[..., httpx.Response]

NOW = "2026-01-01T00:00:00Z"


class FakeGateway(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport for both clients. Test verbs: `say`, `fail_next`, `drop_next`, `cut_next_stream`, `sent`."""

    def __init__(self, pools: dict[str, int] | None = None) -> None:
        self.pools = pools or {"foundation": 2, "security": 1, "intelligence": 2}
        self.own_agents: dict[str, dict[str, Any]] = {}
        self.page_size = 1000
        self.keys: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.routing = FakeRouting(self._task)
        self.cost = FakeCost()
        self.scaling = FakeScaling(self.pools)
        self.memory = FakeMemories(NOW)
        self.events: dict[str, Any] = {"telling": False, "outbox": {"rows": 0, "oldest_s": 0.0}}
        """What `/api/v1/events/status` says."""
        self.requests: list[httpx.Request] = []
        self.healthy = True
        self.answer_from: str | None = None
        """The pool that answers, whichever was asked."""
        self.journal_says: str | None = None
        """What tasks hold in place of what was answered."""
        self._answers: list[str] = []
        self._faults: list[OssaError | httpx.TransportError] = []
        self._cut_after: int | None = None
        self._operation_fault: dict[str, str] | None = None
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self._route()

    # test verbs

    def say(self, *answers: str) -> None:
        """The next answers; after them it says `hello`."""
        self._answers.extend(answers)

    def fail_next(self, *errors: OssaError) -> None:
        """The next requests are answered with these errors."""
        self._faults.extend(errors)

    def drop_next(self, error: httpx.TransportError | None = None) -> None:
        """The next request meets a broken connection."""
        self._faults.append(error or httpx.ReadError("connection reset"))

    def break_operations(self, reason: str) -> None:
        """Operations from now on fail for that reason."""
        self._operation_fault = {"code": "internal", "message": reason}

    def cut_next_stream(self, after_events: int) -> None:
        """The next stream breaks off after that many events."""
        self._cut_after = after_events

    def sent(self, index: int = -1) -> Any:
        """The JSON body of a request that came in."""
        return json.loads(self.requests[index].content)

    # transports

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._answer(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self._answer(request)

    # answering

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self._faults:
            fault = self._faults.pop(0)
            if isinstance(fault, OssaError):
                return self._error(fault, request)
            raise fault
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(request.url.path)
            if found and method == request.method:
                try:
                    return handler(request, *found.groups())
                except OssaError as error:
                    return self._error(error, request)
        return self._error(NotFound(f"{request.method} {request.url.path} is not served."), request)

    def _route(self) -> None:
        one = "/([^/]+)"
        api = "/api/v1"
        for method, path, handler in (
            ("GET", "/health", self._health),
            ("GET", "/version", lambda _: httpx.Response(200, json={"name": "ossa", "version": "0.0.0", "api": "v1"})),
            ("GET", "/v1/models", self._models),
            ("POST", "/v1/chat/completions", self._chat),
            ("POST", f"{api}/tasks", self._create_task),
            ("GET", f"{api}/tasks", self._list_tasks),
            ("GET", f"{api}/tasks{one}", self._get_task),
            ("GET", f"{api}/tasks{one}/events", self._task_events),
            ("POST", f"{api}/tasks{one}/cancel", self._cancel_task),
            ("GET", f"{api}/tasks{one}/route", self._task_route),
            ("POST", f"{api}/route", self._route_requests),
            ("GET", f"{api}/agents", self._list_agents),
            ("POST", f"{api}/agents", self._create_agent),
            ("GET", f"{api}/agents{one}", self._get_agent),
            ("DELETE", f"{api}/agents{one}", self._delete_agent),
            ("POST", f"{api}/agents{one}/drain", lambda _, agent_id: self._operation("drain", {"agent_id": agent_id})),
            ("GET", f"{api}/pools", self._list_pools),
            ("POST", f"{api}/pools{one}/scale", self._scale),
            ("POST", f"{api}/pools{one}/manifest", self._apply),
            ("POST", f"{api}/orchestration/deploy-phase", self._change("deploy-phase")),
            ("POST", f"{api}/agents/spawn-pool", self._change("spawn-pool")),
            ("POST", f"{api}/infrastructure/scale-to-phase4", self._change("scale-to-phase4")),
            ("GET", f"{api}/pools{one}", self._get_pool),
            ("GET", f"{api}/operations", lambda _: httpx.Response(200, json={"data": list(self.operations.values())})),
            ("GET", f"{api}/operations{one}", self._get_operation),
            ("GET", f"{api}/events/status", lambda _: httpx.Response(200, json=self.events)),
            ("GET", f"{api}/keys", lambda _: httpx.Response(200, json={"data": list(self.keys.values())})),
            ("POST", f"{api}/keys", self._create_key),
            ("DELETE", f"{api}/keys{one}", self._revoke_key),
        ):
            self._routes.append((method, re.compile(path), handler))
        more = (*self.routing.routes(), *self.cost.routes(), *self.scaling.routes(), *self.memory.routes())
        self._routes.extend((method, re.compile(path), handler) for method, path, handler in more)

    def _error(self, error: OssaError, request: httpx.Request) -> httpx.Response:
        headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
        if request.url.path.startswith("/v1/"):
            body: dict[str, Any] = {
                "error": {"message": error.message, "type": error.code, "param": error.param, "code": error.code}
            }
        else:
            headers["Content-Type"] = "application/problem+json"
            body = {
                "type": f"urn:ossa:error:{error.code}",
                "title": error.title,
                "status": error.status,
                "detail": error.message,
                "code": error.code,
                "param": error.param,
            }
        return httpx.Response(error.status, headers=headers, content=json.dumps(body).encode())

    def _health(self, _: httpx.Request) -> httpx.Response:
        body = {
            "live": True,
            "ready": self.healthy,
            "checks": {"store": {"ok": self.healthy, "detail": "" if self.healthy else "no answer"}},
        }
        return httpx.Response(200 if self.healthy else 503, json=body)

    def _models(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"id": "auto"}, *({"id": f"pool/{name}"} for name in self.pools)]})

    def _chat(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        task, text = self._new_task(body)
        pool, agent = task["outcome"]["pool"], task["outcome"]["agent_id"]
        headers = {
            "x-ossa-task-id": task["id"],
            "x-ossa-agent": agent,
            "x-ossa-pool": pool,
            "x-ossa-cost-usd": "0.001",
            "x-request-id": "req-1",
        }
        if body.get("stream"):
            return self._stream(_chunks(text), headers)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return httpx.Response(
            200,
            headers=headers,
            json={"id": task["id"], "object": "chat.completion", "model": "fake", "choices": [choice], "usage": _USAGE},
        )

    def _create_task(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(202, json=self._new_task(json.loads(request.content))[0])

    def _new_task(self, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
        pool, agent = _place(f"pool/{self.answer_from}" if self.answer_from else body["model"])
        text = self._answers.pop(0) if self._answers else "hello"
        task: dict[str, Any] = {
            "model": body["model"],
            "metadata": body.get("metadata", {}),
            "cancel_requested": False,
            "id": f"task_{len(self.tasks):032x}",
            "status": "succeeded",
            "attempts": 1,
            "created_at": NOW,
            "updated_at": NOW,
            "finished_at": NOW,
            "outcome": {
                "status": "succeeded",
                "message": {"role": "assistant", "content": text if self.journal_says is None else self.journal_says},
                "finish_reason": "stop",
                "usage": {**_USAGE, "cost_usd": 0.001, "model_calls": 1},
                "agent_id": agent,
                "pool": pool,
                "model": "fake",
            },
        }
        self.tasks[task["id"]] = task
        return task, text

    def _task(self, task_id: str) -> dict[str, Any]:
        if task_id not in self.tasks:
            raise NotFound(f"There is no task {task_id!r}.")
        return self.tasks[task_id]

    def _list_tasks(self, request: httpx.Request) -> httpx.Response:
        limit = int(request.url.params.get("limit", 50))
        return httpx.Response(200, json={"data": list(reversed(self.tasks.values()))[:limit]})

    def _get_task(self, _: httpx.Request, task_id: str) -> httpx.Response:
        return httpx.Response(200, json=self._task(task_id))

    def _task_route(self, _: httpx.Request, task_id: str) -> httpx.Response:
        return httpx.Response(200, json={"task_id": task_id, "data": [_decision(self._task(task_id)["model"])]})

    def _route_requests(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        orders = body.get("requests") or [body]
        return httpx.Response(200, json={"data": [{"route": _decision(one["model"])} for one in orders]})

    def _cancel_task(self, _: httpx.Request, task_id: str) -> httpx.Response:
        return httpx.Response(202, json=self._task(task_id))

    def _task_events(self, request: httpx.Request, task_id: str) -> httpx.Response:
        task = self._task(task_id)
        agent = task["outcome"]["agent_id"]
        steps: list[dict[str, Any]] = [
            {"seq": 0, "kind": "tool_call", "agent_id": agent, "payload": {"call_id": "call_0", "name": "calculator"}},
            {"seq": 1, "kind": "tool_result", "agent_id": agent, "payload": _TOOL_RESULT},
            {"seq": 2, "kind": "model", "agent_id": agent, "payload": {}},
        ]
        after = int(request.headers.get("last-event-id", -1))
        events = [f"id: {step['seq']}\nevent: step\ndata: {json.dumps(step)}\n\n" for step in steps[after + 1 :]]
        return self._stream([*events, f"event: end\ndata: {json.dumps(task)}\n\n"])

    def _stream(self, events: list[str], headers: dict[str, str] | None = None) -> httpx.Response:
        cut, self._cut_after = self._cut_after, None
        return httpx.Response(
            200,
            headers={"Content-Type": "text/event-stream", **(headers or {})},
            stream=_Pieces(events if cut is None else events[:cut], broken=cut is not None),
        )

    def _agents(self) -> list[dict[str, Any]]:
        return [
            {
                "agent_id": f"{pool}-{n:03}",
                "pool": pool,
                "state": "ready",
                "manifest": f"{pool}-agent",
                "version": "1.0.0",
                "tier": "standard",
                "capabilities": ["chat"],
            }
            for pool, size in self.pools.items()
            for n in range(size)
        ]

    def _list_agents(self, request: httpx.Request) -> httpx.Response:
        pool = request.url.params.get("pool")
        found = [agent for agent in self._agents() if pool in (None, agent["pool"])]
        after = request.url.params.get("after", "")
        page = [agent for agent in sorted(found, key=_agent_id) if agent["agent_id"] > after]
        following = page[self.page_size - 1]["agent_id"] if len(page) > self.page_size else None
        return httpx.Response(200, json={"data": page[: self.page_size], "next": following})

    def _get_agent(self, _: httpx.Request, agent_id: str) -> httpx.Response:
        for agent in self._agents():
            if agent["agent_id"] == agent_id:
                return httpx.Response(200, json=agent)
        raise NotFound(f"There is no agent {agent_id!r}.")

    def _delete_agent(self, _: httpx.Request, agent_id: str) -> httpx.Response:
        if not self.own_agents.pop(agent_id, None):
            raise NotFound(f"There is no agent {agent_id!r}.")
        return httpx.Response(202, json={**self._agents()[0], "agent_id": agent_id, "state": "draining"})

    def _create_agent(self, request: httpx.Request) -> httpx.Response:
        agent = {**self._agents()[0], "agent_id": f"own-{len(self.own_agents)}", "own": True, "state": "starting"}
        self.own_agents[agent["agent_id"]] = json.loads(request.content)
        return httpx.Response(202, json=agent)

    def _list_pools(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [self._pool(name) for name in self.pools], "standby": 1})

    def _get_pool(self, _: httpx.Request, name: str) -> httpx.Response:
        return httpx.Response(200, json=self._pool(name))

    def _pool(self, name: str) -> dict[str, Any]:
        if name not in self.pools:
            raise NotFound(f"There is no pool {name!r}.", param="pool")
        return {"name": name, "desired": self.pools[name], "ready": self.pools[name], "blocks": 1}

    def _scale(self, request: httpx.Request, pool: str) -> httpx.Response:
        self._pool(pool)
        self.pools[pool] = json.loads(request.content)["agents"]
        return self._operation("spawn-pool", {"pool": pool})

    def _apply(self, request: httpx.Request, pool: str) -> httpx.Response:
        self._pool(pool)
        return self._operation("apply", {"pool": pool})

    def _change(self, kind: str) -> Handler:
        return lambda request: self._operation(kind, json.loads(request.content))

    def _operation(self, kind: str, request: dict[str, Any]) -> httpx.Response:
        operation = {
            "id": f"op_{len(self.operations):032x}",
            "tenant": "default",
            "kind": kind,
            "status": "failed" if self._operation_fault else "succeeded",
            "request": request,
            "progress": {},
            "error": self._operation_fault,
            "created_at": NOW,
            "updated_at": NOW,
        }
        self.operations[str(operation["id"])] = operation
        return httpx.Response(202, json={**operation, "status": "pending", "error": None})

    def _get_operation(self, _: httpx.Request, operation_id: str) -> httpx.Response:
        if operation_id not in self.operations:
            raise NotFound(f"There is no operation {operation_id!r}.")
        return httpx.Response(200, json=self.operations[operation_id])

    def _create_key(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        key = {
            "id": f"key_{len(self.keys)}",
            "name": body["name"],
            "tenant": body.get("tenant", "default"),
            "scopes": body.get("scopes", ["chat", "tasks", "agents:read"]),
            "prefix": "ossa_sk_fake",
            "created_at": NOW,
        }
        self.keys[key["id"]] = key
        return httpx.Response(201, json={"key": key, "secret": f"ossa_sk_fake{len(self.keys)}"})

    def _revoke_key(self, _: httpx.Request, key_id: str) -> httpx.Response:
        if key_id not in self.keys:
            raise NotFound(f"There is no key {key_id!r}.")
        self.keys[key_id]["revoked_at"] = NOW
        return httpx.Response(200, json=self.keys[key_id])


_TOOL_RESULT = {"call_id": "call_0", "name": "calculator", "content": "4", "is_error": False}
_USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def _agent_id(agent: dict[str, Any]) -> str:
    return str(agent["agent_id"])


def _decision(model: str) -> dict[str, Any]:
    pool, agent = _place(model)
    score = {
        "agent_id": agent,
        "manifest": "helper",
        "pool": pool,
        "fit": 0.5,
        "headroom": 1.0,
        "load": 1.0,
        "score": 0.65,
    }
    return {
        "agent_id": agent,
        "manifest": "helper",
        "pool": pool,
        "tier": "standard",
        "agents": [score],
        "tiers": [{"tier": "standard", "model": "fake", "quality": 0.9, "cost_usd": 0.001}],
        "tiers_filtered": {"premium": "dearer than the manifest's standard"},
        "reasons": ["score 0.650 of best 0.650"],
    }


def _place(model: str) -> tuple[str, str]:
    """(pool, agent) of a target."""
    kind, _, name = model.partition("/")
    pool = name if kind == "pool" else name.rsplit("-", 1)[0] if kind == "agent" else "foundation"
    return pool, name if kind == "agent" else f"{pool}-000"


def _chunks(text: str) -> list[str]:
    middle = max(1, len(text) // 2)
    deltas = [{"content": piece} for piece in (text[:middle], text[middle:])]
    chunks: list[dict[str, Any]] = [
        {"model": "fake", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"model": "fake", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({"model": "fake", "choices": [], "usage": _USAGE})
    return [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]


class _Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes event by event, and may break."""

    def __init__(self, pieces: list[str], *, broken: bool) -> None:
        self._pieces = pieces
        self._broken = broken

    def __iter__(self) -> Any:
        for piece in self._pieces:
            yield piece.encode()
        if self._broken:
            raise httpx.ReadError("connection reset")

    async def __aiter__(self) -> Any:
        for piece in self:
            yield piece
