"""`/api/v1/keys`: a tenant's keys, and all tenants' for the operator."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import ApiKey, Principal, Scope
from ossa.contracts.errors import Forbidden, InvalidRequest, NotFound
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import Admin, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import KeyBody, KeyList, NewKey
from ossa.gateway.context import GatewayContext, context_of
from ossa.tenancy.keys import mint

router = APIRouter(tags=["Keys"])

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@router.post(
    "/api/v1/keys",
    **describe(
        "Create a key",
        "The secret is in this answer and nowhere else.",
        scope=Scope.ADMIN,
        answer=NewKey,
        status=201,
        body="KeyBody",
    ),
)
async def create_key(request: Request, caller: Admin, body: JsonBody) -> Response:
    context = context_of(request)
    order = checked(KeyBody, body)
    tenant = order.tenant or caller.tenant
    if tenant != caller.tenant and not _is_operator(context, caller):
        raise Forbidden("Only the operator's admins may make keys of another tenant.", param="tenant")
    if Scope.FLEET_WRITE in order.scopes and not caller.allows(
        Scope.FLEET_WRITE, operator_tenant=context.core.operator_tenant
    ):
        raise Forbidden("Only who may change the shared pools may grant `fleet:write`.", param="scopes")
    now = datetime.now(UTC)
    expires_at = order.expires_at
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
        raise InvalidRequest("expires_at must lie in the future and have a time zone.", param="expires_at")
    minted = mint(tenant=tenant, name=order.name, scopes=order.scopes, now=now, expires_at=expires_at)
    await context.core.stores.keys.add(minted.key, secret_sha256=minted.secret_sha256)
    return json_response(NewKey(key=minted.key, secret=minted.secret), status=201)


@router.get("/api/v1/keys", **describe("List keys, without their secrets", scope=Scope.ADMIN, answer=KeyList))
async def list_keys(request: Request, caller: Admin) -> Response:
    context = context_of(request)
    tenant = None if _is_operator(context, caller) else caller.tenant
    return json_response(KeyList(data=await context.core.stores.keys.keys(tenant=tenant)))


@router.delete(
    "/api/v1/keys/{key_id}",
    **describe(
        "Revoke a key",
        "It is refused here at once and by every replica within `key_cache_s`.",
        scope=Scope.ADMIN,
        answer=ApiKey,
        errors=(404,),
    ),
)
async def revoke_key(request: Request, key_id: str, caller: Admin) -> Response:
    context = context_of(request)
    if not _KEY_ID.fullmatch(key_id):
        raise NotFound(f"There is no key {key_id[:64]!r}.", param="key_id")
    tenant = None if _is_operator(context, caller) else caller.tenant
    key = await context.core.stores.keys.revoke(key_id, at=datetime.now(UTC), tenant=tenant)
    context.keys.forget()
    return json_response(key)


def _is_operator(context: GatewayContext, caller: Principal) -> bool:
    return caller.tenant == context.core.operator_tenant
