"""Which parameters of a request may go to a model. Pure.

Whatever the gateway does not know goes on as it is, for model servers have many parameters of their own. These do not:

    own        fields of the gateway, which have their place beside the parameters
    unbounded  what lifts the cap of an answer, or asks for several
    dear       what costs more than the tokens that are counted
    elsewhere  what would replace the messages or the endpoint
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CAPS = ("max_completion_tokens", "max_tokens")
"""The names of the cap of an answer; the newer first."""

OWN = frozenset({"model", "messages", "stream", "stream_options", "metadata", "timeout_s", "store"})
"""Fields of the gateway."""

_CAP_LIFTERS = frozenset(
    {
        "ignore_eos",
        "max_gen_len",
        "max_length",
        "max_new_tokens",
        "max_output_tokens",
        "max_tokens_to_sample",
        "maxOutputTokens",
        "min_length",
        "min_new_tokens",
        "min_tokens",
        "n_predict",
        "num_predict",
    }
)
_SEVERAL = frozenset({"best_of", "candidate_count", "candidateCount", "n", "num_return_sequences"})
_DEAR = frozenset(
    {
        "enable_search",
        "fallbacks",
        "inference_geo",
        "mcp_servers",
        "models",
        "plugins",
        "route",
        "search_parameters",
        "web_search",
        "web_search_options",
    }
)
_ELSEWHERE = frozenset({"api_base", "api_key", "base_url", "custom_llm_provider", "prompt", "prompt_embeds"})
_USUAL_PRICE = {
    "service_tier": frozenset({"auto", "batch", "default", "flex", "on_demand", "standard", "standard_only"}),
    "speed": frozenset({"normal", "standard"}),
}
"""Values that cost what is counted, or less."""

_NESTS = frozenset({"extra_body", "options", "generation_config", "generationConfig", "google", "nvext"})
"""Objects in which servers and proxies look for further parameters."""


def refused_parameter(parameters: Mapping[str, Any], path: str = "") -> tuple[str, str] | None:
    """The first parameter that may not go to a model, dotted, and a sentence that says why; None: all may."""
    for name, value in parameters.items():
        if value is None:
            continue
        if why := _why(name, value, nested=bool(path)):
            return path + name, why
        nest = value if name in _NESTS and isinstance(value, Mapping) else {}
        if refused := refused_parameter(nest, f"{path}{name}."):
            return refused
    return None


def _why(name: str, value: Any, *, nested: bool) -> str:
    if name in OWN or (nested and name in CAPS):
        return "it is a field of the gateway: give it in its own place, not among these"
    if name in _CAP_LIFTERS:
        return "" if value is False else "it may lift the cap of the answer: use max_tokens or max_completion_tokens"
    if name in _SEVERAL:
        return "" if value == 1 and value is not True else "one request gives one answer, so it can only be 1"
    if name in _DEAR:
        return "" if value is False else "it may cost more than is counted: an operator can set it for an endpoint"
    if name in _ELSEWHERE:
        return "it would replace the messages or the endpoint"
    usual = _USUAL_PRICE.get(name)
    if usual is not None and value not in usual:
        return f"it may cost more than is counted: use one of {', '.join(sorted(usual))}, or leave it out"
    return ""
