"""What an endpoint takes: the body of a call in its own words.

A preset says how a kind of server differs from OpenAI's API; the endpoint's settings say more; the rest is learned:
a parameter that an answer calls unsupported is renamed or left out from then on. What changes the meaning of an
answer is never left out: the endpoint's refusal of it is the caller's to see.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import ModelRejected
from ossa.contracts.model import ModelReply, ModelRequest
from ossa.contracts.parameters import CAPS
from ossa.contracts.task import Message
from ossa.models.failures import Said
from ossa.models.message import texts_of

log = logging.getLogger("ossa.models")

LEARNED_MAX = 32
"""Names that a client remembers, at most."""

_HINTS = frozenset(
    {
        "frequency_penalty",
        "min_p",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "seed",
        "stream_options",
        "temperature",
        "top_k",
        "top_p",
        "user",
        "verbosity",
    }
)
"""Parameters without which an answer means the same."""

_VALUES = frozenset({"frequency_penalty", "presence_penalty", "temperature", "top_p"})
"""Hints whose default stands in where a value is refused."""

_UNSUPPORTED = re.compile(
    r"unsupported|not[_ ]support|n't support|no longer support|not permitted|extra_forbidden|not allowed|deprecated|"
    r"unrecogni[sz]ed|unknown (field|name|parameter|argument|variant|key)|"
    r"unexpected (field|property|parameter|keyword)|cannot (both )?be (used|specified|set)",
    re.IGNORECASE,
)
_OF_A_VALUE = re.compile(r"unsupported[_ ]value|does not support \S+ with|only the default", re.IGNORECASE)


@dataclass(frozen=True)
class Preset:
    """How a kind of server differs from OpenAI's API.

    Attributes:
        cap: the name of the answer's cap; empty: the caller's own.
        dropped: hints that it refuses.
        refused: what it refuses or ignores although the caller relies on it.
        renamed: names of its own.
        developer: whether it knows that role; else it becomes `system`.
        one_system: whether it takes one system message alone, at the start.
        prefill: how an answer that is begun by a last assistant message is asked for.
        schema_drops: keywords that its tools' schemas may not have.
        key_header: the header that carries the key.
    """

    cap: str = ""
    dropped: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    developer: bool = True
    one_system: bool = False
    prefill: Literal["as_is", "prefix", "continue"] = "as_is"
    schema_drops: frozenset[str] = frozenset()
    key_header: Literal["Authorization", "api-key"] = "Authorization"


_NEW, _OLD = CAPS
_PROBABILITIES = frozenset({"logprobs", "top_logprobs"})

PRESETS: dict[str, Preset] = {
    "generic": Preset(),
    "openai": Preset(cap=_NEW),
    "openai-reasoning": Preset(
        cap=_NEW,
        dropped=frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty"}),
        refused=_PROBABILITIES | {"logit_bias"},
    ),
    "azure": Preset(cap=_NEW, key_header="api-key"),
    "anthropic-compatible": Preset(cap=_OLD, refused=_PROBABILITIES | {"logit_bias"}),
    "gemini": Preset(
        cap=_OLD, refused=frozenset({"logit_bias"}), schema_drops=frozenset({"$schema", "additionalProperties"})
    ),
    "deepseek": Preset(cap=_OLD, developer=False),
    "mistral": Preset(
        cap=_OLD,
        dropped=frozenset({"stream_options", "user", "safety_identifier", "prompt_cache_retention", "verbosity"}),
        refused=_PROBABILITIES | {"logit_bias"},
        renamed={"seed": "random_seed"},
        developer=False,
        prefill="prefix",
    ),
    "groq": Preset(cap=_NEW, refused=_PROBABILITIES | {"logit_bias"}),
    "ollama": Preset(cap=_OLD, refused=frozenset({"logit_bias"}), developer=False),
    "vllm": Preset(cap=_OLD, developer=False, one_system=True, prefill="continue"),
    "llama.cpp": Preset(cap=_OLD, developer=False, one_system=True),
    "openrouter": Preset(cap=_OLD),
    "bedrock-compatible": Preset(cap=_NEW, refused=_PROBABILITIES),
}

_HOSTS = (
    ("api.openai.com", "openai"),
    (".openai.azure.com", "azure"),
    (".cognitiveservices.azure.com", "azure"),
    (".services.ai.azure.com", "azure"),
    ("api.anthropic.com", "anthropic-compatible"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("api.deepseek.com", "deepseek"),
    ("api.mistral.ai", "mistral"),
    ("api.groq.com", "groq"),
    ("openrouter.ai", "openrouter"),
    (".amazonaws.com", "bedrock-compatible"),
)


def preset_of(endpoint: Endpoint, host: str) -> str:
    """The endpoint's preset; where it is not set, the one of a provider's well-known host."""
    if endpoint.preset is not None:
        return endpoint.preset
    return next((name for end, name in _HOSTS if host == end or (end[0] == "." and host.endswith(end))), "generic")


class Dialect:
    """One endpoint's words, with what was learned of it. Shared by the calls of a client."""

    def __init__(self, endpoint: Endpoint, host: str) -> None:
        self.name = preset_of(endpoint, host)
        self.preset = PRESETS[self.name]
        self._endpoint = endpoint
        self._renamed = {**self.preset.renamed, **endpoint.renamed}
        self._dropped = {*self.preset.dropped, *endpoint.dropped}
        self._refused = set(self.preset.refused)
        self._refused_caps: set[str] = set()
        self._cap = self.preset.cap
        self._logged: set[str] = set()

    # The body of a call

    def body(self, request: ModelRequest, *, stream: bool) -> dict[str, Any]:
        """Raises `ModelRejected` for what the endpoint would ignore or refuse and the caller relies on."""
        body = {name: value for name, value in request.parameters.items() if value is not None}
        body.pop("stream_options", None)
        for name in sorted(self._refused & body.keys()):
            if body[name] not in (False, 0, {}):
                raise ModelRejected(
                    f"{name} is not supported by the model endpoint (preset {self.name}): leave it out",
                    name,
                    details={"sent": False},
                )
            del body[name]
        self._name_cap(body)
        if stream:
            body["stream_options"] = {"include_usage": True}
        for name in self._dropped & body.keys():
            del body[name]
            if name != "stream_options":
                self._say_once("model_parameter_left_out", name)
        for name, new in self._renamed.items():
            if name in body:
                body[new] = body.pop(name)
        if self.preset.schema_drops and body.get("tools"):
            body["tools"] = _without(body["tools"], self.preset.schema_drops)
        body["messages"] = self._messages(request.messages, body)
        return {**body, **self._endpoint.added, "model": request.model, "stream": stream}

    def _name_cap(self, body: dict[str, Any]) -> None:
        """The cap under the name that the endpoint takes. Of two caps the smaller one counts."""
        if not self._cap:
            return
        caps = [body.pop(name) for name in CAPS if name in body]
        if caps:
            body[self._cap] = min(caps)

    def _messages(self, messages: Sequence[Message], body: dict[str, Any]) -> list[Message]:
        preset = self.preset
        shaped = list(messages)
        if not preset.developer:
            shaped = [{**m, "role": "system"} if m.get("role") == "developer" else m for m in shaped]
        one = preset.one_system if self._endpoint.one_system is None else self._endpoint.one_system
        if one:
            shaped = _one_system(shaped)
        if preset.prefill != "as_is" and _begins_answer(shaped):
            if preset.prefill == "prefix":
                shaped[-1] = {**shaped[-1], "prefix": True}
            else:
                body.setdefault("continue_final_message", True)
                body.setdefault("add_generation_prompt", False)
        return shaped

    # What is learned

    def learn(self, said: Said, body: Mapping[str, Any]) -> bool:
        """Take note of a refusal. Returns whether the call is worth another try, because its body is another now."""
        name = _named(said, body)
        if name is None:
            return False
        asked = self._asked_as(name)
        if asked in CAPS:
            other = _OLD if asked == _NEW else _NEW
            if other in self._refused_caps or (asked in self._refused_caps and name not in body):
                return False  # without a cap an answer may cost anything
            self._refused_caps.add(asked)
            self._cap = other
        elif asked in (_VALUES if _OF_A_VALUE.search(said.whole) else _HINTS) or self._is_default(asked, body[name]):
            if asked not in self._dropped and len(self._dropped) >= LEARNED_MAX + len(self.preset.dropped):
                return False
            self._dropped.add(asked)
        else:
            return False
        self._say_once("model_parameter_learned", asked)
        return True

    def _asked_as(self, name: str) -> str:
        return next((old for old, new in self._renamed.items() if new == name), name)

    def _is_default(self, name: str, value: Any) -> bool:
        return name == "parallel_tool_calls" and value is True

    def check(self, request: ModelRequest, reply: ModelReply) -> None:
        """See whether the answer keeps what the request relies on. Raises `ModelRejected` where it does not."""
        parameters, message = request.parameters, reply.message
        self._see_cap(parameters, reply)
        calls = {call.get("function", {}).get("name") for call in message.get("tool_calls") or ()}
        if reply.finish_reason not in ("stop", "tool_calls") or message.get("refusal"):
            return
        choice = parameters.get("tool_choice")
        named = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
        if (
            parameters.get("tools")
            and (choice == "required" or named)
            and (not calls or (named and named not in calls))
        ):
            raise ModelRejected(
                "the model answered without the tool call that tool_choice demands: ask again, or set the endpoint's "
                "forced_tools to schema",
                "tool_choice",
            )
        if parameters.get("logprobs") and reply.logprobs is None and message.get("content") and not calls:
            self._refused |= _PROBABILITIES
            self._say_once("model_parameter_ignored", "logprobs")
            raise ModelRejected("the model endpoint ignores logprobs: leave it out", "logprobs")

    def _see_cap(self, parameters: Mapping[str, Any], reply: ModelReply) -> None:
        """Servers that do not know `max_completion_tokens` ignore it: the answer shows it."""
        cap = parameters.get(_NEW)
        if self._cap or not isinstance(cap, int) or _OLD in parameters:
            return
        if reply.usage.completion_tokens > 1.5 * cap + 16:
            self._cap = _OLD
            self._say_once("model_parameter_ignored", _NEW)

    def _say_once(self, event: str, name: str) -> None:
        if name not in self._logged:
            self._logged.add(name)
            extra = {"parameter": name[:100], "endpoint": self._endpoint.base_url, "preset": self.name}
            log.warning(event, extra={**extra, "model": self._endpoint.model})


def _named(said: Said, body: Mapping[str, Any]) -> str | None:
    """The parameter that an error calls unsupported, as it is in the body."""
    if not _UNSUPPORTED.search(said.whole):
        return None
    names = body.keys() - {"model", "messages", "stream"}
    if said.param:
        param = said.param.removeprefix("body.").split(".")[0]
        # A cap may be refused by its other name: a proxy in between has its own.
        return param if param in names or (param in CAPS and any(cap in names for cap in CAPS)) else None
    places = [(match.start(), name) for name in [*names, "messages"] if (match := _mention(name, said.message))]
    found = min(places, default=(0, "messages"))[1]
    return None if found == "messages" else found


def _mention(name: str, message: str) -> re.Match[str] | None:
    """Where a message names a parameter. What is an ordinary word too (`user`, `stop`) must be quoted."""
    word = re.escape(name)
    bare = "_" in name or name in ("messages", "temperature")
    return re.search(rf"(?<!\w){word}(?!\w)" if bare else rf"[\"'`]{word}[\"'`]", message)


def _one_system(messages: list[Message]) -> list[Message]:
    """All system messages as one, at the start. Parts that are no text stay out of it, as system messages have none."""
    systems = [m for m in messages if m.get("role") in ("system", "developer")]
    if not systems or (len(systems) == 1 and messages[0] is systems[0]):
        return messages
    text = "\n\n".join(text for m in systems if (text := texts_of(m.get("content"))[0]))
    return [{**systems[0], "content": text}, *(m for m in messages if m.get("role") not in ("system", "developer"))]


def _begins_answer(messages: list[Message]) -> bool:
    last = messages[-1] if messages else {}
    return last.get("role") == "assistant" and bool(last.get("content")) and not last.get("tool_calls")


def _without(value: Any, keys: frozenset[str]) -> Any:
    """A copy of tools whose schemas lack these keywords; a property of such a name stays."""
    if isinstance(value, list):
        return [_without(item, keys) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: {key: _without(schema, keys) for key, schema in item.items()}
        if name == "properties" and isinstance(item, dict)
        else _without(item, keys)
        for name, item in value.items()
        if name not in keys
    }
