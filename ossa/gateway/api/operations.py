"""`/api/v1/operations`: changes of the fleet that take time."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import Operation
from ossa.gateway.api.answer import json_answer
from ossa.gateway.api.caller import AgentsReader
from ossa.gateway.api.description import describe
from ossa.gateway.api.schemas import OperationList
from ossa.gateway.context import context_of

router = APIRouter(tags=["Fleet"])

_OPERATION_ID = re.compile(r"op_[A-Za-z0-9_-]{1,64}")


def started(operation: Operation) -> Response:
    """202, and where to follow it."""
    return json_answer(operation, status=202, headers={"location": f"/api/v1/operations/{operation.id}"})


@router.get("/api/v1/operations", **describe("List operations", scope=Scope.AGENTS_READ, answer=OperationList))
async def list_operations(
    request: Request,
    caller: AgentsReader,
    open_only: bool = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    store = context_of(request).core.stores.fleet
    found = await store.operations(tenant=caller.tenant, open_only=open_only, limit=limit)
    return json_answer(OperationList(data=found))


@router.get(
    "/api/v1/operations/{operation_id}",
    **describe("Follow an operation", scope=Scope.AGENTS_READ, answer=Operation, errors=(404,)),
)
async def get_operation(request: Request, operation_id: str, caller: AgentsReader) -> Response:
    if not _OPERATION_ID.fullmatch(operation_id):
        raise NotFound(f"There is no operation {operation_id[:64]!r}.", param="operation_id")
    return json_answer(await context_of(request).core.stores.fleet.operation(operation_id, tenant=caller.tenant))
