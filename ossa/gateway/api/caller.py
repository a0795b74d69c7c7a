"""Who is calling, and whether they may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from ossa.contracts.access import Principal, Scope
from ossa.contracts.errors import Forbidden
from ossa.gateway.context import context_of
from ossa.tenancy.credentials import secret_from_headers


async def authenticate(request: Request, scope: Scope) -> Principal:
    """Raises `Unauthenticated`, `Forbidden`."""
    headers = request.headers
    secret = secret_from_headers(headers.get("authorization"), headers.get("x-api-key"))
    context = context_of(request)
    principal = await context.keys.verify(secret)
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
