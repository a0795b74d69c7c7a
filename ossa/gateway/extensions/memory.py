"""What agents remember: routes for users, and calls of turns."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope as KeyScope
from ossa.contracts.errors import InvalidRequest, NotReady
from ossa.contracts.memory import EVERY_KIND, ForgetProof, Grant, Memory, MemoryItem, NewMemory, Recall, Recalled, Scope
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import Admin, ChatCaller, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import Closed
from ossa.gateway.context import context_of
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Extension, Run, TaskHook


class RememberBody(NewMemory):
    """What is to be remembered."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"content": "Anna prefers invoices by e-mail.", "kind": "preference", "subject": "anna"}
        }
    )


class RecallBody(Recall):
    """What is asked of the memory. Without `text`: the newest."""

    model_config = ConfigDict(json_schema_extra={"example": {"text": "how to send invoices", "subject": "anna"}})


class FoundList(BaseModel):
    data: list[Recalled]


class ForgetBody(Closed):
    """One of both."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"subject": "anna"}})

    subject: str | None = Field(None, min_length=1, max_length=256, description="all about this person")
    everything: bool = Field(False, description="all of the tenant")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> ForgetBody:
        if (self.subject is not None) is self.everything:
            raise ValueError("says either subject, or everything: true")
        return self


class GrantBody(Closed):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"kinds": ["preference"]}})

    kinds: list[Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9_-]{0,62})$")]] = Field(
        [EVERY_KIND], min_length=1, max_length=64, description="* for all"
    )


class GrantList(BaseModel):
    data: list[Grant]


MEMORY_MODELS: dict[str, type[BaseModel]] = {
    model.__name__: model for model in (RememberBody, RecallBody, ForgetBody, GrantBody)
}


async def answer_from_memory(memory: Memory | None, ask: TurnCall, *, tenant: str) -> tuple[dict[str, Any], ...]:
    """Raises `NotReady` without a memory, `InvalidRequest`, and what the memory raises."""
    if memory is None:
        raise NotReady("this gateway has no memory")
    try:
        new = NewMemory.model_validate(ask.remember) if ask.remember is not None else None
        query = Recall.model_validate(ask.recall or {})
    except ValidationError as error:
        fault = error.errors()[0]
        raise InvalidRequest(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    if new is not None:
        return (_shown(await memory.remember(new, tenant=tenant)),)
    return tuple(_shown(one.item) for one in await memory.find(query, tenant=tenant))


def _shown(item: MemoryItem) -> dict[str, Any]:
    """What a model needs of it."""
    return {
        "id": item.id,
        "content": item.content,
        "about": item.subject,
        "kind": item.kind,
        "at": item.updated_at.isoformat(timespec="seconds"),
    }


router = APIRouter(tags=["Memory"])

PATH = "/api/v1/memory"
ItemIdPath = Annotated[str, Path(min_length=1, max_length=200)]
TenantPath = Annotated[str, Path(min_length=1, max_length=256)]


@router.post(
    PATH,
    **describe(
        "Remember",
        "Durable when answered. Under an id that there is already it replaces the content and facts of that item, with "
        "`if_version` of that version alone; its kind and subject stay.",
        scope=KeyScope.CHAT,
        answer=MemoryItem,
        body="RememberBody",
        errors=(409,),
    ),
)
async def remember(request: Request, caller: ChatCaller, body: JsonBody) -> Response:
    new = checked(RememberBody, body)
    made = await _memory(request).remember(NewMemory(**dict(new)), tenant=caller.tenant)
    return json_response(made)


@router.post(
    f"{PATH}/recall",
    **describe(
        "Recall by meaning, time and facts",
        "With `text` the nearest first, of those that are hot or warm; without it the newest first, of all. `of`: "
        "another tenant, by its grant. A content that is null is in an object storage that does not answer.",
        scope=KeyScope.CHAT,
        answer=FoundList,
        body="RecallBody",
        errors=(404,),
    ),
)
async def find(request: Request, caller: ChatCaller, body: JsonBody) -> Response:
    query = Recall(**dict(checked(RecallBody, body)))
    return json_response(FoundList(data=await _memory(request).find(query, tenant=caller.tenant)))


@router.post(
    f"{PATH}/forget",
    **describe(
        "Forget a person, or everything",
        "Nobody reads it from the answer on. The answer is the proof: what every place had, and what a look afterwards "
        "found. `complete` false: a place is away, and is asked again until it has confirmed.",
        scope=KeyScope.ADMIN,
        answer=ForgetProof,
        body="ForgetBody",
    ),
)
async def forget_all(request: Request, caller: Admin, body: JsonBody) -> Response:
    asked = checked(ForgetBody, body)
    return json_response(await _memory(request).forget(Scope(tenant=caller.tenant, subject=asked.subject)))


@router.get(
    f"{PATH}/grants",
    **describe("List who else may read", "Grants of the key's tenant.", scope=KeyScope.ADMIN, answer=GrantList),
)
async def grants(request: Request, caller: Admin) -> Response:
    return json_response(GrantList(data=await _memory(request).grants(caller.tenant)))


@router.put(
    f"{PATH}/grants/{{tenant}}",
    **describe(
        "Let another tenant read",
        "The memories of these kinds, by naming this tenant in `of`. It replaces an earlier grant.",
        scope=KeyScope.ADMIN,
        answer=Grant,
        body="GrantBody",
    ),
)
async def grant(request: Request, caller: Admin, tenant: TenantPath, body: JsonBody) -> Response:
    kinds = tuple(checked(GrantBody, body).kinds)
    return json_response(await _memory(request).grant(caller.tenant, to=tenant, kinds=kinds))


@router.delete(
    f"{PATH}/grants/{{tenant}}",
    **describe("Take a grant back", "From the next call on.", scope=KeyScope.ADMIN, status=204, errors=(404,)),
)
async def revoke(request: Request, caller: Admin, tenant: TenantPath) -> Response:
    await _memory(request).revoke(caller.tenant, to=tenant)
    return Response(status_code=204)


@router.get(
    f"{PATH}/{{id}}",
    **describe("Recall by id", "Its newest version.", scope=KeyScope.CHAT, answer=MemoryItem, errors=(404,)),
)
async def recall(
    request: Request,
    caller: ChatCaller,
    id: ItemIdPath,
    of: Annotated[str | None, Query(min_length=1, max_length=256, description="another tenant, by its grant")] = None,
) -> Response:
    return json_response(await _memory(request).recall(id, tenant=caller.tenant, of=of))


@router.delete(
    f"{PATH}/{{id}}",
    **describe(
        "Forget one",
        "The answer is the proof, as for a person.",
        scope=KeyScope.CHAT,
        answer=ForgetProof,
        errors=(404,),
    ),
)
async def forget(request: Request, caller: ChatCaller, id: ItemIdPath) -> Response:
    return json_response(await _memory(request).forget(Scope(tenant=caller.tenant, ids=(id,))))


def _memory(request: Request) -> Memory:
    memory: Memory | None = context_of(request).extensions["memory"].service
    if memory is None:
        raise NotReady("this gateway has no memory; see OSSA_MEMORY__ENABLED")
    return memory


NAME = "memory"


class MemoryHook(TaskHook):
    """Answers `remember` and `recall` of turns, for the task's tenant."""

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory

    async def call(self, call: TurnCall, run: Run) -> TurnCallResult | None:
        if call.remember is None and call.recall is None:
            return None
        return TurnCallResult(memories=await answer_from_memory(self._memory, call, tenant=run.task.tenant))


def extension(core: GatewayCore, *, memory: Memory | None) -> Extension:
    """`memory`: None makes its routes and its calls `NotReady`."""
    return Extension(
        NAME, hooks=[MemoryHook(memory)], routers=[router], schemas=tuple(MEMORY_MODELS.values()), service=memory
    )
