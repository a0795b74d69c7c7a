"""The shape of chat messages and model parameters, checked by pydantic; and the targets that `model` may name.

The request keeps the client's own objects: unknown fields pass through to the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Required, cast

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from ossa.contracts.errors import InvalidRequest, NotFound
from ossa.contracts.task import Message, Target

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
    """Raises `InvalidRequest` naming the message and field."""
    if not isinstance(value, list) or not value:
        raise InvalidRequest("messages must be a list with at least one message.", param="messages")
    if len(value) > at_most:
        raise InvalidRequest(f"messages has {len(value)} entries; at most {at_most} are taken.", param="messages")
    try:
        _MESSAGES.validator.validate_python(value)
    except ValidationError as error:
        raise _invalid(error, value, "messages") from None
    for position, message in enumerate(value):
        if message.get("content") is None and not (message.get("tool_calls") or message.get("function_call")):
            param = f"messages.{position}.content"
            raise InvalidRequest(f"{param} must be text or a list of parts unless tools are called.", param=param)
    return value


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
    """Raises `InvalidRequest` naming the field. Unknown fields are not looked at.

    Model servers answer a parameter of the wrong type with anything, from 400 to a broken connection.
    """
    try:
        _PARAMETERS.validator.validate_python(parameters)
    except ValidationError as error:
        raise _invalid(error, parameters) from None


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
