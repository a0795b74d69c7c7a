"""A forced tool call from a model that cannot call tools: its answer is made to be the tool's arguments.

Small models ignore `tools`, even with a `tool_choice` that names one. Most servers
can however hold an answer to a JSON schema, and given the schema of one tool's
arguments such a model fills it in well. To the caller it is a tool call like any other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson

from ossa.contracts.model import ModelClient, ModelReply, ModelRequest
from ossa.contracts.task import Delta

ARGUMENTS_MAX_TOKENS = 512


class ForcedTools:
    """A `ModelClient` around another, for endpoints with `forced_tools = "schema"`.

    A call that is forced to one tool (`tool_choice` names it, or is `required`
    with a single tool) becomes a call for its arguments; every other call passes unchanged.
    """

    def __init__(self, client: ModelClient) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"ForcedTools({self._client!r})"

    async def complete(self, request: ModelRequest) -> ModelReply:
        tool = forced_tool(request.parameters)
        if tool is None:
            return await self._client.complete(request)
        reply = await self._client.complete(arguments_request(request, tool))
        return as_call(reply, tool)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelReply]:
        if forced_tool(request.parameters) is not None:
            yield await self.complete(request)
            return
        async for piece in self._client.stream(request):
            yield piece

    async def close(self) -> None:
        await self._client.close()


def forced_tool(parameters: dict[str, Any]) -> dict[str, Any] | None:
    """The function (name, description, parameters) that must be called; None when the model may choose."""
    choice = parameters.get("tool_choice")
    functions = [function for tool in parameters.get("tools") or () if (function := _function(tool)) is not None]
    if choice == "required" and len(functions) == 1:
        found: dict[str, Any] = functions[0]
        return found
    if not isinstance(choice, dict):
        return None
    named = choice.get("function")
    name = named.get("name") if isinstance(named, dict) else None
    return next((function for function in functions if function["name"] == name), None)


def _function(tool: Any) -> dict[str, Any] | None:
    """None for what is no function with a name: what to say of it is the endpoint's."""
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    return function if isinstance(function, dict) and isinstance(function.get("name"), str) else None


def arguments_request(request: ModelRequest, tool: dict[str, Any]) -> ModelRequest:
    """The same conversation, with a first message that asks for the arguments and a schema that holds to them."""
    schema = tool.get("parameters") or {"type": "object"}
    asked = (
        f"Write the JSON arguments of the function {tool['name']}. {tool.get('description', '')}\n"
        f"They follow this schema: {orjson.dumps(schema.get('properties', {})).decode()}"
    )
    rest = [message for message in request.messages if message.get("role") != "system"]
    dropped = ("tools", "tool_choice", "parallel_tool_calls", "response_format", "max_completion_tokens", "stop")
    parameters = {key: value for key, value in request.parameters.items() if key not in dropped}
    parameters["max_tokens"] = min(
        parameters.get("max_tokens") or ARGUMENTS_MAX_TOKENS,
        request.parameters.get("max_completion_tokens") or ARGUMENTS_MAX_TOKENS,
        ARGUMENTS_MAX_TOKENS,
    )
    parameters["temperature"] = 0
    parameters["response_format"] = {"type": "json_schema", "json_schema": {"name": tool["name"], "schema": schema}}
    messages = [{"role": "system", "content": asked}, *rest]
    return request.model_copy(update={"messages": messages, "parameters": parameters})


def as_call(reply: ModelReply, tool: dict[str, Any]) -> ModelReply:
    """The arguments as a tool call. Its id is left to the turn."""
    function = {"name": tool["name"], "arguments": reply.message.get("content") or "{}"}
    message = {
        **reply.message,
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "", "type": "function", "function": function}],
    }
    return reply.model_copy(update={"message": message, "finish_reason": "tool_calls"})
