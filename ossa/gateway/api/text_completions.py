"""`POST /v1/completions`, OpenAI's older address: the prompt becomes one user message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.origin import current_origin
from ossa.gateway.api.chat import answer_chat, read_chat
from ossa.gateway.api.completion import TextForm
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import authenticate, cache_header, json_body, vortex_header
from ossa.gateway.api.schemas import TextCompletion
from ossa.gateway.context import context_of

router = APIRouter(tags=["OpenAI"])

_ONE = ("n", "best_of")
_REFUSED = ("suffix", "logprobs", "messages", "tools", "tool_choice")


@router.post(
    "/v1/completions",
    **describe(
        "Ask the fleet in OpenAI's older form",
        "`prompt` is a text, or a list of one; it becomes one user message. All else is as in a chat.",
        scope=Scope.CHAT,
        answer=TextCompletion,
        body="CompletionRequest",
        errors=(404, 409, 429, 499, 502, 504),
        idempotent=True,
        headers="chat",
        also_streams=True,
    ),
)
async def completions(request: Request) -> Response:
    context = context_of(request)
    principal = await authenticate(request, Scope.CHAT)
    body = await json_body(request)
    prompt, echo, chat = chat_of(body)
    params = read_chat(
        chat,
        context.core.settings,
        vortex=vortex_header(request),
        cache=cache_header(request),
        origin=current_origin(),
    )
    params = replace(params, form=TextForm(prompt if echo else ""))
    return await answer_chat(request, "completion", body, params, principal)


def chat_of(body: dict[str, Any]) -> tuple[str, bool, dict[str, Any]]:
    """Returns the prompt, whether it is echoed, and the body as a chat's. Raises `InvalidRequest`."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise InvalidRequest("prompt must be a text, or a list of one text; token ids are not read.", param="prompt")
    for name in _ONE:
        if body.get(name) not in (None, 1):
            raise InvalidRequest(f"{name} must be 1: one request gives one answer.", param=name)
    for name in _REFUSED:
        if body.get(name) not in (None, "", []):
            raise InvalidRequest(f"/v1/completions does not take {name}; use /v1/chat/completions.", param=name)
    echo = body.get("echo")
    if echo is not None and not isinstance(echo, bool):
        raise InvalidRequest("echo must be true or false.", param="echo")
    own = ("prompt", "echo", *_ONE, *_REFUSED)
    chat = {name: value for name, value in body.items() if name not in own}
    return prompt, bool(echo), {**chat, "messages": [{"role": "user", "content": prompt}]}
