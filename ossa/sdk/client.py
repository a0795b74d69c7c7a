"""The blocking client."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

import httpx

from ossa.contracts.errors import OssaError
from ossa.sdk.calls import chat as chat_calls
from ossa.sdk.calls import compression as compression_calls
from ossa.sdk.calls import events as event_calls
from ossa.sdk.calls import fleet as fleet_calls
from ossa.sdk.calls import keys as key_calls
from ossa.sdk.calls import route as route_calls
from ossa.sdk.calls import routing as routing_calls
from ossa.sdk.calls import scaling as scaling_calls
from ossa.sdk.calls import status as status_calls
from ossa.sdk.calls import tasks as task_calls
from ossa.sdk.calls.chat import ChatAssembly, Prompt
from ossa.sdk.calls.fleet import Manifest
from ossa.sdk.connection import Connection
from ossa.sdk.cost import BudgetCalls, CostCalls
from ossa.sdk.exchange import Exchange
from ossa.sdk.memory import MemoryCalls
from ossa.sdk.openai_client import openai_module
from ossa.sdk.retry import RetryPolicy
from ossa.sdk.routing import RoutingCalls
from ossa.sdk.sender import Sender
from ossa.sdk.values.answer import Answer
from ossa.sdk.values.compression import Compression
from ossa.sdk.values.events import EventStatus
from ossa.sdk.values.fleet import Agent, Agents, Pool, Pools
from ossa.sdk.values.health import Health, Version
from ossa.sdk.values.key import Key, Keys, NewKey
from ossa.sdk.values.operation import Operation, Operations
from ossa.sdk.values.route import Route, Routes
from ossa.sdk.values.routing import Feedback
from ossa.sdk.values.scaling import Alerts, Scaling
from ossa.sdk.values.task import Task, TaskEvent, Tasks

if TYPE_CHECKING:
    import openai

PHASE = "phase4-enterprise-analytics"


class Client:
    """A fleet, from one program. Safe to share between threads; close it, or use it in a `with`.

    Every method raises the errors of `ossa`: `Unreachable` when no answer comes, and what the fleet answers
    (`Unauthenticated`, `NotFound`, `FleetBusy`, ...). What may safely be sent again is, up to `max_retries` times:
    tasks always carry an idempotency key, chats a given one, so that a repeated one is not done twice.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        timeout_s: float = 330.0,
        max_retries: int = 2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        exchange = Exchange(connection, timeout_s=timeout_s, retry=RetryPolicy(max_retries=max_retries))
        self._sender = Sender(exchange, transport)
        self._connection = connection
        self._timeout_s = timeout_s
        self.tasks = TaskCalls(self._sender)
        self.agents = AgentCalls(self._sender)
        self.pools = PoolCalls(self._sender)
        self.operations = OperationCalls(self._sender)
        self.keys = KeyCalls(self._sender)
        self.routing = RoutingCalls(self._sender)
        self.budgets = BudgetCalls(self._sender)
        self.cost = CostCalls(self._sender)
        self.memory = MemoryCalls(self._sender)

    @overload
    def chat(
        self,
        prompt: Prompt,
        *,
        model: str = ...,
        stream: Literal[False] = ...,
        idempotency_key: str | None = ...,
        **parameters: Any,
    ) -> Answer: ...

    @overload
    def chat(
        self,
        prompt: Prompt,
        *,
        model: str = ...,
        stream: Literal[True],
        idempotency_key: str | None = ...,
        **parameters: Any,
    ) -> ChatStream: ...

    def chat(
        self,
        prompt: Prompt,
        *,
        model: str = "auto",
        stream: bool = False,
        idempotency_key: str | None = None,
        **parameters: Any,
    ) -> Answer | ChatStream:
        """Ask and get the answer; with `stream`, an iterator of its pieces.

        `prompt` is a text or a list of chat messages, `model` is `auto`, `pool/NAME` or `agent/NAME`;
        `parameters` (temperature, max_tokens, ...) go into the OpenAI body as they are. Leaving early cancels the task,
        unless it has an `idempotency_key`: then it goes on, and asking again under that key gives its answer.
        """
        if not stream:
            return self._sender.send(
                chat_calls.chat(prompt, model=model, idempotency_key=idempotency_key, parameters=parameters)
            )
        request = chat_calls.chat_request(
            prompt, model=model, stream=True, idempotency_key=idempotency_key, parameters=parameters
        )
        return ChatStream(self._sender, self._sender.start(request))

    def deploy_phase(self, target_agents: int, phase: str = PHASE) -> Operation:
        """Size the five pools of a phase to `target_agents` in all. Follow it with `operations.wait`."""
        return self._sender.send(fleet_calls.deploy_phase(phase, target_agents))

    def spawn_pool(self, pool_type: str, agent_count: int) -> Operation:
        """Give one pool the size `agent_count`; `enterprise-analytics` is the intelligence pool."""
        return self._sender.send(fleet_calls.spawn_pool(pool_type, agent_count))

    def scale_to_phase4(self, target: str, kubernetes_nodes: int) -> Operation:
        """Scale fleet and nodes; `target` looks like `200-agent-enterprise`."""
        return self._sender.send(fleet_calls.scale_to_phase4(target, kubernetes_nodes))

    def compress(
        self,
        content: str,
        question: str = "",
        *,
        reduction: float | None = None,
        budget_tokens: int | None = None,
        kind: str | None = None,
        floor: bool = True,
        model: str = "",
    ) -> Compression:
        """Make a context shorter for a model; the fleet keeps the original for a week. See `ossa.vortex.compress`."""
        call = compression_calls.compress(content, question, reduction, budget_tokens, kind, floor, model)
        return self._sender.send(call)

    def decompress(self, text: str) -> str:
        """The original of a compressed text, or of a handle. Raises `NotFound`."""
        return self._sender.send(compression_calls.decompress(text))

    def route(
        self,
        prompt: Prompt,
        *,
        model: str = "auto",
        metadata: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Route:
        """Where a request would go now, and why. Nothing is run. Raises what would be answered instead of a turn."""
        return self._sender.send(route_calls.route(prompt, model=model, metadata=metadata, parameters=parameters))

    def scaling(self, *, limit: int = 20) -> Scaling:
        """What the scaler sees, expects and decided, with its last `limit` changes."""
        return self._sender.send(scaling_calls.scaling(limit))

    def alert(self, *pools: str, for_s: float = 300.0) -> Alerts:
        """Say that these pools, or all where none is named, need more agents for `for_s` seconds; 0 ends it."""
        return self._sender.send(scaling_calls.alert(pools, for_s))

    def events(self) -> EventStatus:
        """What waits to be published, and the bus."""
        return self._sender.send(event_calls.status())

    def models(self) -> tuple[str, ...]:
        """What `model` may be in a chat."""
        return self._sender.send(status_calls.models())

    def health(self) -> Health:
        return self._sender.send(status_calls.health())

    def version(self) -> Version:
        return self._sender.send(status_calls.version())

    def openai(self) -> openai.OpenAI:
        """The official client, set up for this fleet. Needs the `openai` package."""
        client: openai.OpenAI = openai_module().OpenAI(
            base_url=f"{self._connection.url}/v1",
            api_key=self._connection.api_key.get_secret_value() or "none",
            timeout=self._timeout_s,
        )
        return client

    def close(self) -> None:
        self._sender.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client(url={self._connection.url!r}, api_key={self._connection.api_key!r})"


class ChatStream:
    """The pieces of an answer as they come; `answer()` is the whole. Closing it early cancels the task."""

    def __init__(self, sender: Sender, response: httpx.Response) -> None:
        self._response = response
        self._assembly = ChatAssembly(response.headers)
        self._events = sender.events(response)

    def answer(self) -> Answer:
        """Reads what is left of the stream first."""
        for _ in self:
            pass
        return self._assembly.answer()

    def __iter__(self) -> Iterator[str]:
        for event in self._events:
            if piece := self._assembly.take(event):
                yield piece

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class TaskCalls:
    """`client.tasks`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def create(
        self,
        prompt: Prompt,
        *,
        model: str = "auto",
        metadata: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
        **parameters: Any,
    ) -> Task:
        """Hand work over and return: once this returns, the fleet will not lose it."""
        return self._sender.send(
            task_calls.create(
                prompt,
                model=model,
                metadata=metadata,
                timeout_s=timeout_s,
                idempotency_key=idempotency_key,
                parameters=parameters,
            )
        )

    def get(self, task_id: str) -> Task:
        return self._sender.send(task_calls.get(task_id))

    def list(self, *, status: str | None = None, limit: int = 50, before: str | None = None) -> Tasks:
        """Newest first; `before` is the id of the last one of the page before."""
        return self._sender.send(task_calls.listed(status=status, limit=limit, before=before))

    def wait(self, task_id: str, *, timeout_s: float = 600.0, poll_s: float = 0.1) -> Task:
        """The task once it has ended, well or not (`raise_for_failure`). Raises `TimedOut`; the task then goes on."""

        def look() -> Task | None:
            task = self.get(task_id)
            return task if task.ended else None

        ended = self._sender.poll(look, timeout_s=timeout_s, every_s=poll_s)
        if ended is None:
            raise task_calls.not_ended(task_id, timeout_s)
        return ended

    def events(self, task_id: str, *, after: str | None = None) -> Iterator[TaskEvent]:
        """All events of the task from the first (or the one after `after`), until it ends.

        A broken connection is taken up again where it broke: no event is missed or seen twice.
        """
        trail = task_calls.EventTrail(after)
        attempt = 0
        while not trail.ended:
            try:
                response = self._sender.start(task_calls.events(task_id, after=trail.after))
                with closing(self._sender.events(response)) as events:
                    for event in events:
                        attempt = 0
                        yield trail.take(event)
                if trail.ended or self.get(task_id).ended:
                    return
                raise task_calls.broken_off(task_id)
            except OssaError as error:
                self._sender.rest(attempt, error)
                attempt += 1

    def route(self, task_id: str) -> Routes:
        """Where the task went, and why: one decision each turn."""
        return self._sender.send(route_calls.of_task(task_id))

    def cancel(self, task_id: str) -> Task:
        """Ask for the end of a task; one that has ended stays as it is."""
        return self._sender.send(task_calls.cancel(task_id))

    def rate(self, task_id: str, rating: float | str, *, comment: str = "", expected: str = "") -> Feedback:
        """Say how good the answer of an ended task was: `up`, `down`, or 0 to 1. A second rating replaces the first.

        `expected` names the pool, manifest or agent that should have answered.
        """
        return self._sender.send(routing_calls.rate(task_id, rating, comment=comment, expected=expected))


class AgentCalls:
    """`client.agents`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self, *, pool: str | None = None, state: str | None = None) -> Agents:
        """All of them, by id; `state` is `starting`, `ready` or `draining`."""
        found: builtins.list[Agent] = []
        after: str | None = None
        while True:
            page = self._sender.send(fleet_calls.agents(pool=pool, state=state, after=after))
            found.extend(page.data)
            after = page.next
            if after is None:
                return Agents(found)

    def get(self, agent_id: str) -> Agent:
        return self._sender.send(fleet_calls.agent(agent_id))

    def create(self, manifest: Manifest, *, pool: str | None = None) -> Agent:
        """A tenant's own agent: `manifest` is OSSA text, a `Path`, a mapping or an `AgentSpec`."""
        return self._sender.send(fleet_calls.create_agent(manifest, pool=pool))

    def delete(self, agent_id: str) -> Agent:
        """Remove a tenant's own agent; its running turns finish first."""
        return self._sender.send(fleet_calls.delete_agent(agent_id))

    def drain(self, agent_id: str) -> Operation:
        """Replace the agent's process once its running turns have finished."""
        return self._sender.send(fleet_calls.drain_agent(agent_id))


class PoolCalls:
    """`client.pools`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self) -> Pools:
        return self._sender.send(fleet_calls.pools())

    def get(self, name: str) -> Pool:
        return self._sender.send(fleet_calls.pool(name))

    def scale(self, name: str, size: int) -> Operation:
        return self._sender.send(fleet_calls.scale_pool(name, size))

    def apply(self, name: str, manifest: Manifest) -> Operation:
        """Roll a manifest's new version out over a pool, agent by agent."""
        return self._sender.send(fleet_calls.apply_manifest(name, manifest))


class OperationCalls:
    """`client.operations`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def get(self, operation_id: str) -> Operation:
        return self._sender.send(fleet_calls.operation(operation_id))

    def list(self, *, open_only: bool = False, limit: int = 50) -> Operations:
        """Newest first."""
        return self._sender.send(fleet_calls.operations(open_only=open_only, limit=limit))

    def wait(self, operation_id: str, *, timeout_s: float = 600.0, poll_s: float = 0.25) -> Operation:
        """The operation once it has ended, well or not. Raises `TimedOut`; the operation then goes on."""

        def look() -> Operation | None:
            operation = self.get(operation_id)
            return operation if operation.ended else None

        ended = self._sender.poll(look, timeout_s=timeout_s, every_s=poll_s)
        if ended is None:
            raise task_calls.not_ended(operation_id, timeout_s)
        return ended


class KeyCalls:
    """`client.keys`; needs a key with the scope `admin`."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self) -> Keys:
        return self._sender.send(key_calls.keys())

    def create(self, name: str, *, scopes: Sequence[str] | None = None, tenant: str | None = None) -> NewKey:
        """The secret is in this answer and nowhere else. Scopes left out: chat, tasks and agents:read."""
        return self._sender.send(key_calls.create_key(name, scopes=scopes, tenant=tenant))

    def revoke(self, key_id: str) -> Key:
        return self._sender.send(key_calls.revoke_key(key_id))
