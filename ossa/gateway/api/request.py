"""Reads and checks requests: the caller, the body, headers that switch features, messages, parameters and the target.

The request keeps the client's own objects: unknown fields of messages and parameters pass through to the model."""

from __future__ import annotations

import re
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Required, cast

import orjson
from fastapi import Depends
from pydantic import AfterValidator, ConfigDict, Discriminator, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.requests import ClientDisconnect, Request
from typing_extensions import TypedDict

from ossa.contracts.access import Principal, Scope
from ossa.contracts.errors import Cancelled, Forbidden, InvalidRequest, NotFound, PayloadTooLarge
from ossa.contracts.origin import current_origin, set_origin
from ossa.contracts.parameters import refused_parameter
from ossa.contracts.task import Message, Target
from ossa.gateway.api.responses import MalformedBody, UnsupportedEncoding
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


_BOM = b"\xef\xbb\xbf"


async def read_body(request: Request, *, at_most: int) -> bytes:
    """Returns the body, unpacked where it came as gzip or deflate.

    Raises:
        PayloadTooLarge: as soon as it exceeds `at_most` bytes, packed or unpacked.
        UnsupportedEncoding: it came in another encoding.
        MalformedBody: it cannot be unpacked.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return await _read_raw(request, at_most)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedEncoding(
            f"Content-Encoding {encoding[:64]!r} is not read here; send gzip, deflate or no encoding.",
            param="Content-Encoding",
        )
    return _unpacked(await _read_raw(request, at_most), at_most)


def _unpacked(packed: bytes, at_most: int) -> bytes:
    """Unpacks gzip (of one or more members) or zlib's format. No more than `at_most` bytes are ever made."""
    parts: list[bytes] = []
    size = 0
    try:
        while packed:
            unpacker = zlib.decompressobj(wbits=47)  # either format, by its header
            part = unpacker.decompress(packed, at_most - size + 1)
            size += len(part)
            if size > at_most:
                raise _too_large(at_most)
            if not unpacker.eof:
                raise MalformedBody("The packed body ends too early.", param="body")
            parts.append(part)
            packed = unpacker.unused_data
    except zlib.error as error:
        raise MalformedBody(f"The body cannot be unpacked: {error}.", param="body") from None
    return b"".join(parts)


async def _read_raw(request: Request, at_most: int) -> bytes:
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
    raw = raw.removeprefix(_BOM)
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


MAX_NAME = 253
MAX_TOOLS = 1024

checked = with_config(ConfigDict(strict=True, extra="allow"))
"""A typed dict of which further fields are not looked at. Text is no number, and `true` is no 1."""


# Messages


@checked
class TextPart(TypedDict):
    type: Literal["text"]
    text: str


@checked
class RefusalPart(TypedDict):
    type: Literal["refusal"]
    refusal: str


@checked
class ImageUrl(TypedDict):
    url: str


@checked
class ImagePart(TypedDict):
    type: Literal["image_url"]
    image_url: ImageUrl


@checked
class AudioPart(TypedDict):
    type: Literal["input_audio"]
    input_audio: dict[str, Any]


@checked
class FilePart(TypedDict):
    type: Literal["file"]
    file: dict[str, Any]


Part = Annotated[TextPart | RefusalPart | ImagePart | AudioPart | FilePart, Discriminator("type")]
Content = Annotated[str | Annotated[list[Part], Field(min_length=1)], Field(union_mode="left_to_right")]


@checked
class CalledFunction(TypedDict):
    name: str
    arguments: str


@checked
class ToolCall(TypedDict):
    id: str
    function: CalledFunction


@checked
class AskingMessage(TypedDict, total=False):
    role: Required[Literal["system", "developer", "user", "function"]]
    content: Required[Content]
    name: str | None
    tool_calls: list[ToolCall] | None


@checked
class AssistantMessage(TypedDict, total=False):
    role: Required[Literal["assistant"]]
    content: Content | None
    name: str | None
    tool_calls: list[ToolCall] | None


@checked
class ToolMessage(TypedDict, total=False):
    role: Required[Literal["tool"]]
    content: Required[Content]
    tool_call_id: Required[str]
    name: str | None
    tool_calls: list[ToolCall] | None


_MESSAGES: TypeAdapter[Any] = TypeAdapter(
    list[Annotated[AskingMessage | AssistantMessage | ToolMessage, Discriminator("role")]]
)


def read_messages(value: Any, *, at_most: int) -> list[Message]:
    """Returns the messages in the form that endpoints take. Raises `InvalidRequest` naming the message and field."""
    if not isinstance(value, list) or not value:
        raise InvalidRequest("messages must be a list with at least one message.", param="messages")
    if len(value) > at_most:
        raise InvalidRequest(f"messages has {len(value)} entries; at most {at_most} are taken.", param="messages")
    messages = [_in_form(message) for message in value]
    try:
        _MESSAGES.validator.validate_python(messages)
    except ValidationError as error:
        raise _invalid(error, messages, "messages") from None
    return messages


_MAY_BE_EMPTY = ("assistant", "tool")


def _in_form(message: Any) -> Any:
    """A message as endpoints take it: clients replay answers with empty lists and fields that are null.

    An answer or a tool's result that said nothing has an empty text.
    """
    if not isinstance(message, dict):
        return message
    form = {name: value for name, value in message.items() if value is not None and (name, value) != ("tool_calls", [])}
    if form.get("role") in _MAY_BE_EMPTY and form.get("content", []) == []:
        calls = form["role"] == "assistant" and (form.get("tool_calls") or form.get("function_call"))
        form["content"] = None if calls else ""
    return form


def asked_messages(messages: list[Message] | None, text: str | None, *, at_most: int, path: str = "") -> list[Message]:
    """Returns `messages`, or `text` as one user message. Raises `InvalidRequest` unless exactly one is given."""
    if (messages is None) == (text is None):
        raise InvalidRequest(f"Give either {path}messages or {path}input.", param=f"{path}messages")
    return read_messages(messages or [{"role": "user", "content": text}], at_most=at_most)


# Parameters


def _object_schema(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    if schema is not None and not isinstance(schema.get("properties", {}), dict):
        raise _fault("", "Input should be a JSON schema of an object")
    return schema


@checked
class NamedFunction(TypedDict):
    name: Annotated[str, Field(min_length=1, max_length=256)]


@checked
class Function(NamedFunction, total=False):
    description: str | None
    parameters: Annotated[dict[str, Any] | None, AfterValidator(_object_schema)]


@checked
class Tool(TypedDict):
    type: Literal["function"]
    function: Function


@checked
class ToolChoice(TypedDict):
    type: Literal["function"]
    function: NamedFunction


@checked
class ResponseFormat(TypedDict):
    type: str


def _has_schema(value: ResponseFormat) -> ResponseFormat:
    described = cast(dict[str, Any], value).get("json_schema")
    if value["type"] == "json_schema" and not (
        isinstance(described, dict) and isinstance(described.get("schema", {}), dict)
    ):
        raise _fault("json_schema", "Input should be an object with a schema")
    return value


def _stops(value: Any) -> Any:
    if not all(isinstance(stop, str) for stop in (value if isinstance(value, list) else [value])):
        raise _fault("", "Input should be text or a list of texts")
    return value


Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]
Share = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


@checked
class Parameters(TypedDict, total=False):
    max_tokens: Positive | None
    max_completion_tokens: Positive | None
    temperature: Annotated[float, Field(ge=0, le=2)] | None
    top_p: Share | None
    min_p: Share | None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None
    frequency_penalty: Penalty | None
    presence_penalty: Penalty | None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None
    stop: Annotated[Any, AfterValidator(_stops)] | None
    logprobs: bool | None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None
    logit_bias: dict[str, Any] | None
    user: str | None
    reasoning_effort: str | None
    verbosity: str | None
    parallel_tool_calls: bool | None
    response_format: Annotated[ResponseFormat, AfterValidator(_has_schema)] | None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None
    functions: Annotated[list[Function], Field(max_length=MAX_TOOLS)] | None
    function_call: Literal["none", "auto"] | NamedFunction | None


_PARAMETERS: TypeAdapter[Any] = TypeAdapter(Parameters)


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raises `InvalidRequest` naming the field. Of unknown ones only those are refused that may not go to a model.

    Model servers answer a parameter of the wrong type with anything, from 400 to a broken connection.
    """
    try:
        _PARAMETERS.validator.validate_python(parameters)
    except ValidationError as error:
        raise _invalid(error, parameters) from None
    if refused := refused_parameter(parameters):
        raise InvalidRequest(f"{refused[0]} does not go to the model: {refused[1]}.", param=refused[0])


# Errors


def _fault(field: str, message: str) -> PydanticCustomError:
    """An error about a field of the value that a validator looks at; empty: about the value itself."""
    return PydanticCustomError("fault", "{message}", {"message": message, "field": field})


def _invalid(error: ValidationError, value: Any, *root: str) -> InvalidRequest:
    """Names the first wrong field. Of a union's members, the one that got furthest says what is wrong."""
    faults = [(_path(fault, value), _text(fault)) for fault in error.errors(include_url=False)]
    first = faults[0][0]
    path = max((path for path, _ in faults if path[: len(first)] == first), key=len)
    messages = dict.fromkeys(message for other, message in faults if other == path)
    param = ".".join((*root, *path))
    return InvalidRequest(f"{param}: {', or: '.join(messages)}.", param=param)


def _text(error: ErrorDetails) -> str:
    if error["type"] == "union_tag_not_found":
        return "Field required"
    if error["type"] == "union_tag_invalid":
        return f"Input should be one of {error['ctx']['expected_tags']}"
    return error["msg"]


def _path(error: ErrorDetails, value: Any) -> list[str]:
    """Returns where in `value` the error is. Pydantic's location also names the members of unions it chose."""
    path: list[str] = []
    loc = error["loc"]
    for position, part in enumerate(loc):
        if isinstance(part, int) or (isinstance(value, Mapping) and part in value):
            value = value[part]
        elif error["type"] != "missing" or position < len(loc) - 1:
            continue
        path.append(str(part))
    context = error.get("ctx", {})
    if error["type"].startswith("union_tag"):
        path.append(context["discriminator"].strip("'"))
    elif context.get("field"):
        path.append(context["field"])
    return path


# Targets


def read_target(value: Any, *, param: str = "model") -> Target:
    """`auto`, `pool/NAME` or `agent/NAME`. Raises `InvalidRequest`, `NotFound`."""
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{param} must be `auto`, `pool/NAME` or `agent/NAME`.", param=param)
    if value == "auto":
        return Target()
    kind, slash, name = value.partition("/")
    if slash and name and len(name) <= MAX_NAME:
        if kind == "pool":
            return Target(kind="pool", name=name)
        if kind == "agent":
            return Target(kind="agent", name=name)
    raise NotFound(
        f"There is no model {value[:MAX_NAME]!r}: use `auto`, `pool/NAME` or `agent/NAME`; GET /v1/models lists them.",
        param=param,
    )
