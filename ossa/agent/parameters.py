"""The body of a model call beside its messages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ossa.contracts.agent_spec import ModelPreference

PASSED_ON = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "min_p",
        "modalities",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "stop",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    }
)
"""The parameters a request may pass to the model: OpenAI's, and two more for sampling.

Model servers take many others, and some of them lift the cap of an answer (`n_predict`, `ignore_eos`,
`min_tokens`): what is not known here does not go there. Nor do OpenAI's `service_tier` and
`web_search_options`, which cost more than the tokens that are counted.
"""

_CAPS = ("max_completion_tokens", "max_tokens")


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
) -> dict[str, Any]:
    """Builds a call's parameters: the request's known ones override the manifest's, within the limits.

    Args:
        functions: the agent's own tools, to be offered beside the caller's.
        cap: the most tokens the answer may have.
        tools_ran: whether a tool has run in this turn; a forced `tool_choice` has
            then been obeyed, and forcing it again would never end.
    """
    body = {key: value for key, value in parameters.items() if key in PASSED_ON and value is not None}
    if preference.temperature is not None:
        body.setdefault("temperature", preference.temperature)
    if preference.top_p is not None:
        body.setdefault("top_p", preference.top_p)
    if preference.max_tokens is not None and not any(isinstance(body.get(key), int) for key in _CAPS):
        body["max_tokens"] = preference.max_tokens
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
    asked = [key for key in _CAPS if isinstance(parameters.get(key), int)]
    return {**parameters, **{key: min(parameters.get(key, cap), cap) for key in asked or ["max_tokens"]}}
