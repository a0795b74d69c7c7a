"""One turn: ask the model, run the tools it calls, until it answers. Plain Python, no Ray.

A turn that continues after a takeover starts from the steps that are in the
journal; nothing else is carried over.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ossa.agent.cascade import rejection_reason
from ossa.agent.context import Context, bound_fetch, fetch_tool
from ossa.agent.conversation import FETCH, Conversation
from ossa.agent.hooks import HookChain
from ossa.agent.limits import (
    DEFAULT_TIMEOUT_S,
    Budget,
    budget_of,
    cap_answer,
    check_steps,
    client_tools,
    completion_cap,
    model_parameters,
    out_of_time,
    wants_no_tools,
)
from ossa.agent.spending import CallReservation, asked_cap, call_price, refund, reserve
from ossa.agent.tools import (
    INTERRUPTED,
    Tool,
    ToolContext,
    ToolRegistry,
    calls_of,
    idempotency_key,
    only,
    run_tool,
    unknown_tool,
)
from ossa.contracts.agent_hooks import AgentHook, HookContext, ProceedModel, ToolCall, ToolResult
from ossa.contracts.agent_spec import AgentSpec, Tier
from ossa.contracts.configuration import Endpoint, Models, VortexSettings
from ossa.contracts.errors import LimitExceeded, ModelFailed, ModelRejected, NotReady, OssaError, TimedOut
from ossa.contracts.model import ModelClient, ModelReply, ModelRequest
from ossa.contracts.task import Assignment, Delta, ErrorInfo, Message, Outcome, TaskRequest, TaskStatus, Turn
from ossa.contracts.turn import TurnCall, TurnResult, TurnSink
from ossa.contracts.value import Clock, SystemClock
from ossa.models.client import surely_unbilled
from ossa.models.tiers import Choice, choose_endpoint
from ossa.models.usage import prompt_tokens

log = logging.getLogger("ossa.agent")

TOOL_PARALLELISM = 8
PLACEHOLDER = re.compile(r"\{(?:CONTEXT|DATA|STATE|METRICS|TEMPORAL):[a-z][a-z0-9_-]*:")
"""A role without it needs nobody to resolve it; `ossa.vortex.exchange` knows the whole grammar."""

VORTEX_ANNOTATION = "ossa.io/vortex"
"""A manifest's `on` or `off` for the shortening of its agent's contents."""

FREE_LOOK_UPS = 4
"""Model calls that only fetched what was left out do not count as steps of the turn, up to so many."""

LOOK_UP_ANSWERS = 1024
"""Tokens of a look-up's answer and of the one after it."""

_CANCEL_GRACE_S = 1.0


class AgentTurn:
    """One agent's `TurnRunner`. Any number of turns may run at once; they share no state.

    `run` raises only what the sink raised (the owner is gone, or is another
    now) and `CancelledError`; whatever else goes wrong is a failed outcome.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        models: Models,
        clients: Callable[[Endpoint], ModelClient],
        tools: ToolRegistry,
        vortex: VortexSettings | None = None,
        clock: Clock | None = None,
        default_timeout_s: float = DEFAULT_TIMEOUT_S,
        hooks: Sequence[AgentHook] = (),
    ) -> None:
        """Reports the manifest's tools that are not on the allow-list. Raises `NotReady` without a model endpoint.

        Args:
            vortex: without it all contents go to the model whole.
            hooks: the first is the outermost.
        """
        self.assignment = assignment
        self._tiers = models.tiers
        self._choice = choose_endpoint(models, assignment.spec.model)
        self._clients = clients
        self.tools = tools.bind(assignment.spec.tools)
        if self.tools.missing:
            missing = {"manifest": assignment.spec.name, "tools": list(self.tools.missing)}
            log.warning("tools_not_allowed", extra={"agent_id": assignment.agent_id, **missing})
        self.vortex = vortex or VortexSettings(enabled=False)
        self.clock = clock or SystemClock()
        self.default_timeout_s = default_timeout_s
        self.hooks = HookChain(hooks)

    async def run(self, turn: Turn, sink: TurnSink) -> TurnResult:
        running = _RunningTurn(self, turn, sink)
        try:
            return await running.to_the_end()
        except _OwnerFailed as failure:
            raise failure.cause from None
        except OssaError as error:
            return self._failed(running, error)
        except Exception:
            log.exception("turn_crashed", extra={"task_id": turn.task_id, "agent_id": self.assignment.agent_id})
            return self._failed(running, OssaError("the agent failed; its log has the cause"))

    def _failed(self, running: _RunningTurn, error: OssaError) -> TurnResult:
        log.info(
            "turn_failed",
            extra={"task_id": running.turn.task_id, "agent_id": self.assignment.agent_id, "code": error.code},
        )
        info = ErrorInfo(code=error.code, message=error.message, param=error.param, retry_after_s=error.retry_after_s)
        return running.result(TaskStatus.FAILED, error=info)

    def models(self, turn: Turn) -> list[tuple[Choice, ModelClient]]:
        """The models to try, in order: those of the owner's tiers that are configured, else the agent's own."""
        tiers = turn.cascade or ((turn.tier,) if turn.tier is not None else ())
        choices = [Choice(tier=tier, endpoint=self._tiers[tier]) for tier in tiers if tier in self._tiers]
        return [(choice, self._clients(choice.endpoint)) for choice in choices or [self._choice]]


class _OwnerFailed(BaseException):
    """The sink raised; that is not the task's fault. No hook or check may catch it."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _RunningTurn:
    """The state of one running turn."""

    def __init__(self, agent: AgentTurn, turn: Turn, sink: TurnSink) -> None:
        self.agent = agent
        self.turn = turn
        self._sink = sink
        self._clock = agent.clock
        self._agent_id = agent.assignment.agent_id
        spec = agent.assignment.spec
        self._talk = Conversation(spec.role, turn.request, turn.steps, agent_id=self._agent_id)
        self._budget: Budget = budget_of(spec, turn.request, turn.used_today, default_timeout_s=agent.default_timeout_s)
        self._models = agent.models(turn)
        self._passed: list[Choice] = []
        self._failed_tiers: list[Tier] = []
        self._answered: Tier | None = None
        """Whose answer was taken back."""
        self._spoken = False
        for _ in self._talk.rejected[: len(self._models) - 1]:
            self._passed.append(self._models.pop(0)[0])
        self._ends = self._clock.monotonic() + self._budget.timeout_s
        self._theirs = client_tools(turn.request.parameters)
        # A tool the caller brought hides the agent's own of that name.
        hidden = agent.tools.tools.keys() if wants_no_tools(turn.request.parameters) else self._theirs.keys()
        self._ours: dict[str, Tool] = {name: tool for name, tool in agent.tools.tools.items() if name not in hidden}
        self._functions = [tool.function for tool in self._ours.values()]
        self._context = self._new_context() if _shortens(agent.vortex, spec, turn.request) else None
        self._offer_fetch()

    @property
    def _choice(self) -> Choice:
        return self._models[0][0]

    async def to_the_end(self) -> TurnResult:
        talk = self._talk
        await self._resolve_role()
        while True:
            if talk.last is not None:
                message: Message = talk.last.payload["message"]
                calls = calls_of(message)
                if not calls or any(call.name in self._theirs for call in calls):
                    return self.result(TaskStatus.SUCCEEDED, message=message)
                if pending := talk.pending():
                    extra = min(talk.look_ups, FREE_LOOK_UPS) + len(talk.rejected)
                    check_steps(self._budget, talk.usage.model_calls - extra)
                    await self._run_tools(pending)
            await self._ask()

    def result(
        self, status: TaskStatus, *, message: Message | None = None, error: ErrorInfo | None = None
    ) -> TurnResult:
        """Builds the turn's result, with the steps that are not committed yet."""
        last = self._talk.last
        choice = self._choice
        outcome = Outcome(
            status=status,
            message=message,
            finish_reason=last.payload["finish_reason"] if message is not None and last is not None else None,
            error=error,
            usage=self._talk.usage,
            agent_id=self._agent_id,
            pool=self.agent.assignment.pool,
            model=last.payload["model"] if last is not None else choice.endpoint.model,
            logprobs=last.payload.get("logprobs") if message is not None and last is not None else None,
            tier=self._answered or choice.tier,
            failed_tiers=tuple(dict.fromkeys(self._failed_tiers)),
        )
        return TurnResult(outcome=outcome, steps=tuple(self._talk.uncommitted))

    async def _ask(self) -> None:
        """Adds a model's answer to the conversation: the first of the cascade that holds, else the last one."""
        while True:
            try:
                if await self._ask_one():
                    return
            except (LimitExceeded, ModelFailed, ModelRejected, NotReady, TimedOut) as error:
                if isinstance(error, ModelFailed | NotReady | TimedOut):
                    self._failed_tiers.append(self._choice.tier)
                if not self._escalate():
                    if self._restore_rejected():
                        return
                    raise

    def _escalate(self) -> bool:
        """Moves on to the next model. Returns False when there is none."""
        if len(self._models) < 2 or self._clock.monotonic() >= self._ends:
            return False
        self._passed.append(self._models.pop(0)[0])
        self._context = self._new_context() if self._context is not None else None
        return True

    def _restore_rejected(self) -> bool:
        """A dearer model cannot be asked: what a cheaper one said is better than nothing.

        Not once a tool has run since, or the dearer one has begun to speak: its answer would be about something else.
        """
        rejected = self._talk.last_rejected
        message = rejected.payload["message"] if rejected is not None else {}
        if rejected is None or self._spoken or not message.get("content") or message.get("tool_calls"):
            return False
        self._talk.restore_rejected(rejected, self._clock.now())
        tiers = {choice.endpoint.model: choice.tier for choice in self._passed}
        self._answered = tiers.get(rejected.payload["model"], self._answered)
        return True

    async def _ask_one(self) -> bool:
        """Makes one model call. Returns False if its answer does not hold and the next model must be asked."""
        talk, choice, now = self._talk, self._choice, self._clock.now
        await self._fit()
        prompt = talk.prompt_estimate([*self._theirs.values(), *self._functions])
        cap = completion_cap(self._budget, talk.usage, prompt, choice.endpoint, now())
        paid = await self._reserve(choice.endpoint, cap)
        request = ModelRequest(
            model=choice.endpoint.model,
            messages=talk.messages(choice.endpoint),
            parameters=model_parameters(
                self.agent.assignment.spec.model,
                self.turn.request.parameters,
                functions=self._functions,
                cap=paid.cap,
                tools_ran=talk.tools_ran,
                firm=bool(paid.reservation),
            ),
            # A model that hangs leaves time for the next one.
            timeout_s=self._left_s() / (1 if len(self._models) == 1 else 2),
            billed_once=bool(paid.reservation),
        )
        reply = await self._hooked_reply(request, paid)
        message = talk.named(reply.message)
        if any(call.name in self._theirs for call in calls_of(message)):
            # The caller answers its own calls and knows no others; the model may ask for ours again.
            message = only(message, self._theirs.keys())
        why = self._rejection_reason(message, reply.finish_reason) if len(self._models) > 1 else ""
        if why:
            log.info("answer_rejected", extra={"task_id": self.turn.task_id, "tier": choice.tier, "why": why})
            talk.reject(reply, message, why, now(), reservation=paid.reservation)
            await self._commit()
            return not self._escalate()
        talk.add_reply(reply, message, now(), reservation=paid.reservation, endpoint=choice.endpoint)
        return True

    def _rejection_reason(self, message: Message, finish_reason: str | None) -> str:
        """As the function of that name. A check that breaks lets the answer pass: it has been paid for."""
        try:
            return rejection_reason(message, finish_reason, self.turn.request.parameters)
        except Exception:
            log.exception("answer_not_checked", extra={"task_id": self.turn.task_id})
            return ""

    async def _reserve(self, endpoint: Endpoint, cap: int | None) -> CallReservation:
        """Reserves the cost of the next call if the turn has a budget. Raises `BudgetExceeded`."""
        if not self.turn.budgeted:
            return CallReservation(cap=cap)
        tools = [*self._theirs.values(), *self._functions]
        price = call_price(
            endpoint,
            prompt=self._talk.prompt_estimate(tools),
            most_prompt=self._talk.most_prompt_tokens(tools, endpoint),
            cap=cap,
            asked=asked_cap(self.agent.assignment.spec.model, self.turn.request.parameters),
        )
        try:
            async with self._clock.timeout(self._left_s()):
                return await reserve(self._sink, price, cap=cap)
        except TimeoutError:
            raise out_of_time(self._budget) from None

    async def _resolve_role(self) -> None:
        """Resolves the role's placeholders once, so that the prompt's start never changes. Raises the owner's error."""
        role = self.agent.assignment.spec.role
        if self._talk.role_resolved or self._talk.last is not None or not PLACEHOLDER.search(role):
            return
        try:
            async with self._clock.timeout(self._left_s()):
                resolved = await self._sink.call(TurnCall(role=role))
        except TimeoutError:
            raise out_of_time(self._budget) from None
        self._talk.resolve_role(resolved.role, resolved.values, at=self._clock.now())

    def _new_context(self) -> Context | None:
        """Returns None if the model would have no way to fetch back what is left out."""
        endpoint = self._choice.endpoint
        fetches = endpoint.forced_tools == "native"  # a model that ignores tools would not
        if fetches and (FETCH in self._theirs or FETCH in self._ours or wants_no_tools(self.turn.request.parameters)):
            return None
        return Context(self.agent.vortex, endpoint, fetches=fetches, again=self._may_call_again, clock=self._clock)

    def _may_look_up(self, tools: list[dict[str, Any]]) -> bool:
        """Whether the turn's token limit leaves room for a second prompt with everything in it."""
        allowed = self._budget.limits.max_tokens_per_request
        if allowed is None:
            return True
        whole = self._talk.prompt_estimate(tools)
        return self._talk.usage.total_tokens + 2 * whole + LOOK_UP_ANSWERS < allowed

    def _may_call_again(self, name: str) -> bool:
        """Whether calling the tool again repeats no effect. The caller answers for its own tools."""
        return name in self._theirs or (name in self._ours and self._ours[name].effects == "none")

    async def _fit(self) -> None:
        """Shows the model shorter contents where that costs less."""
        if self._context is None:
            return
        talk = self._talk
        tools = [*self._theirs.values(), *(tool for tool in self._functions if tool["function"]["name"] != FETCH)]
        fixed = prompt_tokens((), tools)
        try:
            fitted = await self._context.fit(talk, self._sink, fixed_tokens=fixed, lossy=self._may_look_up(tools))
        except Exception:
            log.exception("context_not_fitted", extra={"task_id": self.turn.task_id, "agent_id": self._agent_id})
            self._context = None
            return
        if fitted is not None:
            talk.show(fitted.shown, offered=fitted.offer, at=self._clock.now())
            self._offer_fetch()

    def _offer_fetch(self) -> None:
        """Offers the fetching tool after all others, so that their place in the prompt does not change."""
        if self._talk.fetchable and FETCH not in self._ours:
            self._ours[FETCH] = bound_fetch(self._talk, self._sink, self._clock, self.agent.vortex.timeout_s)
            self._functions.append(fetch_tool().function)

    async def _hooked_reply(self, request: ModelRequest, paid: CallReservation) -> ModelReply:
        """The model's reply, through the agent's hooks. A failed call that cost nothing gets its reservation back."""
        sent = False

        async def send(hooked: ModelRequest) -> ModelReply:
            nonlocal sent
            sent = True
            if hooked is not request:
                parameters = cap_answer(hooked.parameters, paid.cap)
                update = {"parameters": parameters, "billed_once": request.billed_once}
                hooked = hooked.model_copy(update=update)
            return await self._complete(hooked)

        try:
            return await self._timed(self.agent.hooks.model_call(self._model_call_context, send), request)
        except OssaError as error:
            if not sent or surely_unbilled(error):
                await refund(self._sink, paid)
            raise

    async def _timed(self, call: ProceedModel, request: ModelRequest) -> ModelReply:
        try:
            async with self._clock.timeout(request.timeout_s):
                return await call(request)
        except (TimeoutError, OssaError) as error:
            if self._clock.monotonic() >= self._ends:
                raise out_of_time(self._budget) from None
            if isinstance(error, TimeoutError):
                raise ModelFailed("the model did not answer in its share of the time") from None
            raise

    def _model_call_context(self) -> HookContext:
        return self._hook_context(f"{self.turn.task_id}:model/{self._talk.usage.model_calls}")

    def _hook_context(self, idempotency_key: str) -> HookContext:
        return HookContext(
            task_id=self.turn.task_id,
            tenant=self.turn.tenant,
            agent_id=self._agent_id,
            manifest=self.agent.assignment.spec.name,
            step=self._talk.next_seq,
            idempotency_key=idempotency_key,
        )

    async def _complete(self, request: ModelRequest) -> ModelReply:
        # Text that a later model or a hook may replace is not streamed: the owner gets it with its step.
        if self.turn.stream and len(self._models) == 1 and not self.agent.hooks.holds_stream:
            return await self._streamed(request)
        return await self._models[0][1].complete(request)

    async def _streamed(self, request: ModelRequest) -> ModelReply:
        stream = self._models[0][1].stream(request)
        reply: ModelReply | None = None
        try:
            async for piece in stream:
                if isinstance(piece, ModelReply):
                    reply = piece
                else:
                    await self._delta(piece)
        finally:
            # A protocol's iterator need not be a generator; one that is must be closed with the call.
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        if reply is None:
            raise ModelFailed("the model's stream ended without an answer")
        return reply

    async def _run_tools(self, calls: Sequence[ToolCall]) -> None:
        """Commits the intents, runs the calls, commits the results as they come."""
        talk, now = self._talk, self._clock.now
        talk.add_intents(self.turn.task_id, calls, now())
        await self._commit()
        slots = asyncio.Semaphore(TOOL_PARALLELISM)
        running = {asyncio.create_task(self._answer(call, slots)): call for call in calls}
        try:
            waiting = set(running)
            while waiting:
                with suppress(TimeoutError):
                    async with self._clock.timeout(self._left_s()):
                        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0)  # calls that end together share a commit
                waiting = {task for task in waiting if not task.done()}
                ended = [task for task in running if task not in waiting]
                if not ended:
                    raise out_of_time(self._budget)
                for task in ended:
                    call, answer = running.pop(task), task.result()
                    talk.add_result(call, answer.content, now(), is_error=answer.is_error)
                await self._commit()
        finally:
            await _cancelled(running)

    async def _answer(self, call: ToolCall, slots: asyncio.Semaphore) -> ToolResult:
        tool = self._ours.get(call.name)
        if tool is None:
            return unknown_tool(call, sorted(self._ours))
        if tool.effects == "at_most_once" and call.call_id in self._talk.interrupted:
            return ToolResult(INTERRUPTED, is_error=True)
        async with slots:
            return await self._hooked_result(tool, call)

    async def _hooked_result(self, tool: Tool, call: ToolCall) -> ToolResult:
        """The tool's result, through the agent's hooks. The model is told what a hook raises."""

        async def run(hooked: ToolCall) -> ToolResult:
            hooked = call._replace(arguments=hooked.arguments)
            return await run_tool(tool, hooked, self._tool_context(call), clock=self._clock)

        key = idempotency_key(self.turn.task_id, call.call_id)
        try:
            return await self.agent.hooks.tool_call(lambda: self._hook_context(key), run)(call)
        except OssaError as error:
            return ToolResult(error.message, is_error=True)

    def _tool_context(self, call: ToolCall) -> ToolContext:
        return ToolContext(
            task_id=self.turn.task_id,
            tenant=self.turn.tenant,
            agent_id=self._agent_id,
            idempotency_key=idempotency_key(self.turn.task_id, call.call_id),
            config=dict(self.agent.tools.configs.get(call.name, {})),
            ask=self._sink.call,
        )

    def _left_s(self) -> float:
        left = self._ends - self._clock.monotonic()
        if left <= 0:
            raise out_of_time(self._budget)
        return left

    async def _commit(self) -> None:
        steps = tuple(self._talk.uncommitted)
        if not steps:
            return
        try:
            await self._sink.commit(steps)
        except Exception as error:
            raise _OwnerFailed(error) from error
        del self._talk.uncommitted[: len(steps)]

    async def _delta(self, delta: Delta) -> None:
        self._spoken = self._spoken or isinstance(delta, str) or bool(delta.get("content"))
        try:
            await self._sink.delta(delta)
        except Exception as error:
            raise _OwnerFailed(error) from error


def _shortens(settings: VortexSettings, spec: AgentSpec, request: TaskRequest) -> bool:
    """Whether contents are shortened: the request decides, else the manifest, else the settings."""
    if request.vortex is not None:
        return request.vortex
    annotation = spec.annotations.get(VORTEX_ANNOTATION, "").strip().lower()
    return settings.enabled if annotation not in ("on", "off", "true", "false") else annotation in ("on", "true")


async def _cancelled(tasks: dict[asyncio.Task[ToolResult], Any]) -> None:
    """Cancels the tasks. A tool that does not stop within a second is left behind."""
    if not tasks:
        return
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_CANCEL_GRACE_S)
