"""A manifest's limits, applied to one turn, and the body of its model calls beside the messages. Pure.

    max_tokens_per_request   prompt and completion tokens of all model calls of a turn
    max_tokens_per_day       tokens of the manifest since midnight UTC, this turn included
    max_cost_per_day_usd     cost of the manifest since midnight UTC, this turn included
    timeout_s                wall time of the turn; of an attempt, when a turn is taken over
    max_steps                model calls of a turn

Tokens and cost are checked before each model call, against an estimate of its
prompt, and cap what it may answer. What was paid for is never thrown away: an
answer that turns out larger than the estimate is still given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from ossa.contracts.agent_spec import AgentSpec, Limits, ModelPreference
from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import InvalidRequest, LimitExceeded, OssaError, TimedOut
from ossa.contracts.parameters import CAPS, OWN, refused_parameter
from ossa.contracts.task import TaskRequest, Usage, UsageToday
from ossa.contracts.value import Value

DEFAULT_MAX_STEPS = 8
DEFAULT_TIMEOUT_S = 300.0


class Budget(Value):
    """The limits of one turn. `by_manifest`: the time limit is the manifest's, not the request's."""

    manifest: str
    limits: Limits
    timeout_s: float
    by_manifest: bool
    max_steps: int
    used_today: UsageToday = UsageToday()


def budget_of(spec: AgentSpec, request: TaskRequest, used_today: UsageToday, *, default_timeout_s: float) -> Budget:
    """The manifest's limits and the request's own timeout, whichever is less."""
    requested = request.timeout_s if request.timeout_s is not None else default_timeout_s
    allowed = spec.limits.timeout_s
    by_manifest = allowed is not None and allowed <= requested
    return Budget(
        manifest=spec.name,
        limits=spec.limits,
        timeout_s=allowed if allowed is not None and by_manifest else requested,
        by_manifest=by_manifest,
        max_steps=spec.limits.max_steps or DEFAULT_MAX_STEPS,
        used_today=used_today,
    )


def out_of_time(budget: Budget) -> OssaError:
    """The error of a turn that took too long."""
    if budget.by_manifest:
        return _exceeded(budget, "timeout_s", f"{budget.timeout_s:g} s")
    return TimedOut(f"the turn did not end within {budget.timeout_s:g} s")


def check_steps(budget: Budget, model_calls: int) -> None:
    """Called when the model wants tools run. Raises `LimitExceeded` when no call would be left to use their results."""
    if model_calls >= budget.max_steps:
        raise _exceeded(budget, "max_steps", f"{budget.max_steps} model calls")


def completion_cap(budget: Budget, used: Usage, prompt: int, endpoint: Endpoint, now: datetime) -> int | None:
    """The most tokens the next model call may answer; None: no limit says.

    Args:
        used: by this turn so far.
        prompt: the next call's prompt in tokens, estimated.

    Raises `LimitExceeded` naming the limit when not even one token is left.
    """
    limits, today = budget.limits, budget.used_today
    caps: list[int] = []
    if limits.max_tokens_per_request is not None:
        left = limits.max_tokens_per_request - used.total_tokens - prompt
        if left < 1:
            raise _exceeded(budget, "max_tokens_per_request", f"{limits.max_tokens_per_request} tokens")
        caps.append(left)
    if limits.max_tokens_per_day is not None:
        left = limits.max_tokens_per_day - today.tokens - used.total_tokens - prompt
        if left < 1:
            raise _exceeded(budget, "max_tokens_per_day", f"{limits.max_tokens_per_day} tokens", _to_midnight(now))
        caps.append(left)
    if limits.max_cost_per_day_usd is not None:
        usd = limits.max_cost_per_day_usd - today.cost_usd - used.cost_usd
        left_for = _affordable(usd, prompt, endpoint)
        if left_for is not None and left_for < 1:
            what = f"{limits.max_cost_per_day_usd:g} USD"
            raise _exceeded(budget, "max_cost_per_day_usd", what, _to_midnight(now))
        if left_for is not None:
            caps.append(left_for)
    return min(caps) if caps else None


def _affordable(usd: float, prompt: int, endpoint: Endpoint) -> int | None:
    """Completion tokens this much money buys after the prompt; None: any number, because they are free."""
    usd -= prompt * (endpoint.input_usd_per_mtok or 0.0) / 1e6
    if usd < 0 or (usd == 0 and (endpoint.output_usd_per_mtok or endpoint.input_usd_per_mtok)):
        return 0
    if not endpoint.output_usd_per_mtok:
        return None
    return int(min(usd / endpoint.output_usd_per_mtok * 1e6, 1e9))


def _exceeded(budget: Budget, limit: str, value: str, retry_after_s: float | None = None) -> LimitExceeded:
    return LimitExceeded(
        f"limit {limit} ({value}) of manifest {budget.manifest} is reached",
        param=f"limits.{limit}",
        retry_after_s=retry_after_s,
    )


def _to_midnight(now: datetime) -> float:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (midnight - now).total_seconds()


def client_tools(parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tools the caller brought, by name: the caller runs them, we do not."""
    tools: dict[str, dict[str, Any]] = {}
    for tool in parameters.get("tools") or ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            tools[function["name"]] = tool
    return tools


def wants_no_tools(parameters: dict[str, Any]) -> bool:
    return parameters.get("tool_choice") == "none"


def model_parameters(
    preference: ModelPreference,
    parameters: dict[str, Any],
    *,
    functions: Sequence[dict[str, Any]],
    cap: int | None,
    tools_ran: bool,
    firm: bool = False,
) -> dict[str, Any]:
    """Builds a call's parameters: the request's override the manifest's, within the limits.

    What the gateway does not know goes on too. Raises `InvalidRequest` for what may not.

    Args:
        functions: the agent's own tools, to be offered beside the caller's.
        cap: the most tokens the answer may have.
        firm: money was set aside for this cap: it gets the name that every server keeps to.
        tools_ran: whether a tool has run in this turn; a forced `tool_choice` has
            then been obeyed, and forcing it again would never end.
    """
    body = {key: value for key, value in parameters.items() if key not in OWN and value is not None}
    if refused := refused_parameter(body):
        raise InvalidRequest(f"{refused[0]} does not go to the model: {refused[1]}.", param=refused[0])
    if preference.temperature is not None:
        body.setdefault("temperature", preference.temperature)
    if preference.top_p is not None:
        body.setdefault("top_p", preference.top_p)
    wish = preference.max_tokens
    if wish is not None and not any(isinstance(body.get(key), int) for key in CAPS):
        # Newer models refuse `max_tokens`, older servers ignore the other name: a cap that binds goes by the older one.
        body["max_tokens" if firm or (cap is not None and cap < wish) else "max_completion_tokens"] = wish
    body = cap_answer(body, cap)
    tools = [*(body.get("tools") or ()), *functions]
    if not tools:
        for key in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(key, None)
        return body
    body["tools"] = tools
    if tools_ran and body.get("tool_choice") not in (None, "none", "auto"):
        body["tool_choice"] = "auto"
    return body


def cap_answer(parameters: dict[str, Any], cap: int | None) -> dict[str, Any]:
    """The parameters, asking for at most `cap` completion tokens."""
    if cap is None:
        return parameters
    asked = [key for key in CAPS if isinstance(parameters.get(key), int)]
    return {**parameters, **{key: min(parameters.get(key, cap), cap) for key in asked or ["max_tokens"]}}
