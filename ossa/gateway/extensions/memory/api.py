"""`/api/v1/memory`: remember, recall, forget; and who else may read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope as KeyScope
from ossa.contracts.errors import NotReady
from ossa.contracts.memory import ForgetProof, Grant, Memory, MemoryItem, NewMemory, Recall, Scope
from ossa.gateway.api.description import describe
from ossa.gateway.api.request import Admin, ChatCaller, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.context import context_of
from ossa.gateway.extensions.memory.schemas import ForgetBody, FoundList, GrantBody, GrantList, RecallBody, RememberBody

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
