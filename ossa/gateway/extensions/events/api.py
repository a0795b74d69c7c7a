"""`/api/v1/events`: what has happened, in pages and as a stream; and who reads the fact log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Principal, Scope
from ossa.contracts.errors import Forbidden, InvalidRequest
from ossa.contracts.events import EventStatus
from ossa.events.consumer import matches
from ossa.events.dead_letters import dead_letters, replay
from ossa.events.reading import FactFilter, cursor_of, newest, offset_of, oldest, start_of, time_of
from ossa.gateway.api.document import EVENTS, describe
from ossa.gateway.api.request import Admin, AgentsReader, JsonBody
from ossa.gateway.api.responses import EventStream, checked, json_response
from ossa.gateway.context import GatewayContext, context_of
from ossa.gateway.extensions.events.eventing import Eventing
from ossa.gateway.extensions.events.groups import groups_of, seek
from ossa.gateway.extensions.events.schemas import (
    DeadLetterList,
    EventPage,
    EventQuery,
    GroupList,
    GroupView,
    ReplayBody,
    Replayed,
    SeekBody,
)

router = APIRouter(tags=["Events"])

PATH = "/api/v1/events"
PAGE = 50
FOR_READERS = (
    "ossa.agent.", "ossa.pool.", "ossa.standby.", "ossa.phase.", "ossa.operation.", "ossa.scaling.", "ossa.router.",
)  # fmt: skip
"""Facts that a key with `agents:read` sees; those of tasks need `tasks` besides, all others `admin`."""

FOR_TASKS = "ossa.task."
WHOSE = (
    "A key sees the facts of its tenant; the operator's admins see those of all tenants and of the fleet itself "
    "(tenant `_system`). With `agents:read` come facts of agents, pools, operations, scaling and the router, with "
    "`tasks` those of tasks too, with `admin` all."
)
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "of a stream: go on after this fact; it counts before `after`",
    "schema": {"type": "string", "pattern": "^f[0-9a-f]{1,15}$"},
}


@router.get(
    f"{PATH}/status",
    **describe(
        "How events are doing",
        "The consumer groups of the fact log and how far they are behind; with Kafka, how many facts wait for it and "
        "for how long, whether the replica that answers is the one that exports, and how far the watched groups are.",
        scope=Scope.AGENTS_READ,
        answer=EventStatus,
    ),
)
async def event_status(request: Request, caller: AgentsReader) -> Response:
    return json_response(await _eventing(request).status())


def _described() -> dict[str, Any]:
    route = describe(
        "What has happened",
        f"{WHOSE}\n\nThe newest facts first; `order=asc` gives the oldest first. `next` is the cursor of the page "
        "after this one. A request looks at a bounded part of the log: a page may hold fewer than `limit` facts, or "
        "none, and still have a `next`.\n\nWith `stream=true`, or `Accept: text/event-stream`, facts come as "
        "server-sent events as they happen (schema Event), beginning after `after`, or with what happened from `since` "
        "on, or now. The id of each is a cursor: a client that was cut off sends it as `Last-Event-ID` to any replica, "
        "and gets nothing twice and misses nothing. A stream that is silent sends a comment every 15 s; it ends after "
        "`limit` facts, or after ten minutes, to be taken up again.",
        scope=Scope.AGENTS_READ,
        answer=EventPage,
        errors=(400,),
    )
    route["responses"][200]["content"] = EVENTS
    route["openapi_extra"]["parameters"] = [_LAST_EVENT_ID]
    return route


@router.get(PATH, **_described())
async def list_events(request: Request, caller: AgentsReader, query: Annotated[EventQuery, Query()]) -> Response:
    context = context_of(request)
    wanted = _filter(context, caller, query)
    place = None if query.after is None else offset_of(query.after, param="after")
    if query.stream or "text/event-stream" in request.headers.get("accept", ""):
        return await _stream(request, query, wanted, place)
    log = context.core.stores.facts
    limit = query.limit or PAGE
    if query.order == "desc":
        page = await newest(log, wanted, before=place, limit=limit)
    else:
        page = await oldest(log, wanted, after=place, limit=limit)
    following = None if page.next is None else cursor_of(page.next)
    facts = [event for _, event in page.facts]
    return json_response(EventPage.model_construct(data=facts, next=following, follow=cursor_of(page.follow)))


def _filter(context: GatewayContext, caller: Principal, query: EventQuery) -> FactFilter:
    return FactFilter(
        tenant=_tenant(context, caller, query.tenant),
        types=tuple(query.type),
        allowed=_allowed(caller, query.type),
        agent=query.agent,
        subject=query.subject,
        actor=query.actor,
        request_id=query.request_id,
        since=None if query.since is None else time_of(query.since, param="since"),
        until=None if query.until is None else time_of(query.until, param="until"),
    )


async def _stream(request: Request, query: EventQuery, wanted: FactFilter, after: int | None) -> Response:
    if query.until is not None:
        raise InvalidRequest("until: a stream has no end; leave it out, or ask for a page.", param="until")
    if last := request.headers.get("last-event-id"):
        after = offset_of(last, param="Last-Event-ID")
    log = context_of(request).core.stores.facts
    if after is None:
        after = await log.settled() if wanted.since is None else await start_of(log, wanted)
    return EventStream(_eventing(request).streams.stream(wanted, after, limit=query.limit))


@router.get(
    f"{PATH}/groups",
    **describe(
        "Who reads the fact log",
        "The consumer groups: their members, where they are, and how many facts wait for them.",
        scope=Scope.AGENTS_READ,
        answer=GroupList,
    ),
)
async def list_groups(request: Request, caller: AgentsReader) -> Response:
    return json_response(GroupList(data=await groups_of(context_of(request).core.stores.facts)))


@router.post(
    f"{PATH}/groups/{{group}}/seek",
    **describe(
        "Put a consumer group to another place",
        "For the operator's admins. What lies after that place is handled again, or for the first time; whoever reads "
        "for the group notices within seconds. A handler that makes its effect once by the fact's id does nothing new.",
        scope=Scope.ADMIN,
        answer=GroupView,
        body="SeekBody",
        errors=(404,),
    ),
)
async def seek_group(request: Request, group: str, caller: Admin, body: JsonBody) -> Response:
    context = context_of(request)
    _check_operator(context, caller)
    order = checked(SeekBody, body)
    return json_response(await seek(context.core.stores.facts, group, order.to))


@router.get(
    f"{PATH}/dead",
    **describe(
        "Facts that a consumer could not handle",
        "For the operator's admins: the first ones that were not put back, with the group and its error.",
        scope=Scope.ADMIN,
        answer=DeadLetterList,
    ),
)
async def list_dead(request: Request, caller: Admin, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> Response:
    context = context_of(request)
    _check_operator(context, caller)
    return json_response(DeadLetterList(data=await dead_letters(context.core.log, limit=limit)))


@router.post(
    f"{PATH}/replay",
    **describe(
        "Put dead letters back",
        "For the operator's admins. The group that could not handle a fact meets it again; other groups do not.",
        scope=Scope.ADMIN,
        answer=Replayed,
        body="ReplayBody",
    ),
)
async def replay_dead(request: Request, caller: Admin, body: JsonBody) -> Response:
    context = context_of(request)
    _check_operator(context, caller)
    order = checked(ReplayBody, body)
    return json_response(Replayed(replayed=await replay(context.core.log, limit=order.limit)))


def _tenant(context: GatewayContext, caller: Principal, asked: str | None) -> str | None:
    """Whose facts are read; None: everybody's. Raises `Forbidden`."""
    if _is_operator(context, caller):
        return asked
    if asked not in (None, caller.tenant):
        raise Forbidden("Only the operator's admins may see the facts of another tenant.", param="tenant")
    return caller.tenant


def _allowed(caller: Principal, types: list[str]) -> tuple[str, ...]:
    """Beginnings of types that the key may see; empty: all. Raises `Forbidden` for a type that is none of them."""
    if Scope.ADMIN in caller.scopes:
        return ()
    allowed = (*FOR_READERS, FOR_TASKS) if Scope.TASKS in caller.scopes else FOR_READERS
    for kind in types:
        if not matches(kind, allowed) and not any(name.startswith(kind) for name in allowed):
            needed = Scope.TASKS if kind.startswith(FOR_TASKS) else Scope.ADMIN
            raise Forbidden(f"This key lacks the scope `{needed}`, which facts of the type {kind} need.", param="type")
    return allowed


def _check_operator(context: GatewayContext, caller: Principal) -> None:
    if not _is_operator(context, caller):
        raise Forbidden("Only the operator's admins may do this: it concerns the facts of all tenants.")


def _is_operator(context: GatewayContext, caller: Principal) -> bool:
    return Scope.ADMIN in caller.scopes and caller.tenant == context.core.operator_tenant


def _eventing(request: Request) -> Eventing:
    return context_of(request).service(Eventing, "events")
