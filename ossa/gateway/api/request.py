"""What every route reads of a request: its caller, its body, and the headers that switch features."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any, Literal

import orjson
from fastapi import Depends
from starlette.requests import ClientDisconnect, Request

from ossa.contracts.access import Principal, Scope
from ossa.contracts.errors import Cancelled, Forbidden, InvalidRequest, PayloadTooLarge
from ossa.contracts.origin import current_origin, set_origin
from ossa.gateway.api.responses import MalformedBody
from ossa.gateway.context import context_of
from ossa.tenancy.keys import secret_from_headers


async def authenticate(request: Request, scope: Scope) -> Principal:
    """Returns who calls, who is the request's actor from here on. Raises `Unauthenticated`, or `Forbidden`."""
    headers = request.headers
    secret = secret_from_headers(headers.get("authorization"), headers.get("x-api-key"))
    context = context_of(request)
    principal = await context.keys.verify(secret)
    set_origin(current_origin().by(f"key/{principal.key_id}", tenant=principal.tenant))
    if not principal.allows(scope, operator_tenant=context.core.operator_tenant):
        raise Forbidden(f"This key lacks the scope `{scope}`.")
    return principal


def _needs(scope: Scope) -> Callable[[Request], Awaitable[Principal]]:
    async def caller(request: Request) -> Principal:
        return await authenticate(request, scope)

    return caller


ChatCaller = Annotated[Principal, Depends(_needs(Scope.CHAT))]
TasksCaller = Annotated[Principal, Depends(_needs(Scope.TASKS))]
AgentsReader = Annotated[Principal, Depends(_needs(Scope.AGENTS_READ))]
AgentsWriter = Annotated[Principal, Depends(_needs(Scope.AGENTS_WRITE))]
FleetWriter = Annotated[Principal, Depends(_needs(Scope.FLEET_WRITE))]
Admin = Annotated[Principal, Depends(_needs(Scope.ADMIN))]


MAX_DEPTH = 100
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def read_body(request: Request, *, at_most: int) -> bytes:
    """Returns the body. Raises `PayloadTooLarge` as soon as it exceeds `at_most` bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > at_most:
        raise _too_large(at_most)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > at_most:
                raise _too_large(at_most)
            chunks.append(chunk)
    except ClientDisconnect:
        raise Cancelled("The client hung up.") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parses a JSON object. Raises `MalformedBody`, or `InvalidRequest` that names a field that cannot be stored."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"The body is not valid JSON: {error}.", param="body") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", param="body")
    if b"\\u0000" in raw:
        _refuse_nul(value)
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _refuse_depth(value)
    return value


async def json_body(request: Request) -> dict[str, Any]:
    return parse_object(await read_body(request, at_most=context_of(request).core.settings.max_body_bytes))


JsonBody = Annotated[dict[str, Any], Depends(json_body)]


def idempotency_key(request: Request) -> str | None:
    """Returns the header, or None. Raises `InvalidRequest` when it is not printable."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key must be 1 to 255 visible ASCII characters.", param="Idempotency-Key")
    return key


def vortex_header(request: Request) -> bool | None:
    """Returns what `x-ossa-vortex` says, None without the header. Raises `InvalidRequest`."""
    text = request.headers.get("x-ossa-vortex")
    if text is None:
        return None
    switch = {"on": True, "off": False}.get(text.strip().lower())
    if switch is None:
        raise InvalidRequest("x-ossa-vortex must be on or off.", param="x-ossa-vortex")
    return switch


def cache_header(request: Request) -> Literal["off", "refresh"] | None:
    """Returns what `x-ossa-cache` says, None without the header. Raises `InvalidRequest`."""
    text = request.headers.get("x-ossa-cache")
    if text is None:
        return None
    switch = text.strip().lower()
    if switch == "off":
        return "off"
    if switch == "refresh":
        return "refresh"
    raise InvalidRequest("x-ossa-cache must be off or refresh.", param="x-ossa-cache")


def _refuse_nul(value: dict[str, Any]) -> None:
    for path, leaf, _ in _walk(value):
        if isinstance(leaf, str) and "\0" in leaf:
            raise InvalidRequest(f"{path} holds a NUL character, which cannot be stored. Leave it out.", param=path)


def _refuse_depth(value: dict[str, Any]) -> None:
    for path, _, depth in _walk(value):
        if depth > MAX_DEPTH:
            top = path.split(".")[0]
            raise InvalidRequest(f"{top} is nested deeper than {MAX_DEPTH} levels.", param=top)


def _walk(value: Any) -> Iterator[tuple[str, Any, int]]:
    """Yields every key and leaf with its dotted path and depth, without recursion."""
    todo: list[tuple[str, Any, int]] = [("", value, 0)]
    while todo:
        path, node, depth = todo.pop()
        if depth > MAX_DEPTH:
            yield path, None, depth
        elif isinstance(node, dict):
            for name, inner in node.items():
                yield path or "body", name, depth
                todo.append((f"{path}.{name}" if path else name, inner, depth + 1))
        elif isinstance(node, list):
            todo.extend((f"{path}.{i}", inner, depth + 1) for i, inner in enumerate(node))
        else:
            yield path, node, depth


def _too_large(at_most: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is longer than {at_most} bytes.", param="body")
