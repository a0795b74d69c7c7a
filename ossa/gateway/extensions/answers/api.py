"""`/api/v1/answers`: answers that are kept to be given again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.answers import Answers
from ossa.gateway.api.description import describe
from ossa.gateway.api.request import Admin
from ossa.gateway.api.responses import json_response
from ossa.gateway.api.schemas import ForgottenView
from ossa.gateway.context import context_of

router = APIRouter(tags=["Answers"])

NAME = Query(min_length=1, max_length=256)


@router.delete(
    "/api/v1/answers",
    **describe(
        "Forget kept answers",
        "All of the tenant's, or those of an agent (its manifest's name), or those that rest on a document. "
        "None where none are kept.",
        scope=Scope.ADMIN,
        answer=ForgottenView,
    ),
)
async def forget_answers(
    request: Request,
    caller: Admin,
    agent: Annotated[str | None, NAME] = None,
    document: Annotated[str | None, NAME] = None,
) -> Response:
    answers: Answers | None = context_of(request).extensions["answers"].service
    count = 0 if answers is None else await answers.forget(caller.tenant, agent=agent, document=document)
    return json_response(ForgottenView(forgotten=count))
