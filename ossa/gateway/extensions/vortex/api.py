"""`/api/v1/compress` and `/api/v1/decompress`: context compression for programs outside the fleet."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.compression import CompressionOrder, Compressor
from ossa.contracts.errors import NotReady
from ossa.gateway.api.description import describe
from ossa.gateway.api.request import ChatCaller, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import CompressBody, CompressedView, DecompressBody, DecompressedView
from ossa.gateway.context import context_of

router = APIRouter(tags=["Compression"])


@router.post(
    "/api/v1/compress",
    **describe(
        "Compress a context",
        "Leaves out what the question needs least, by the kind of each stretch. The original is kept for a week under "
        "the handle that the text names.",
        scope=Scope.CHAT,
        answer=CompressedView,
        body="CompressBody",
    ),
)
async def compress(request: Request, caller: ChatCaller, body: JsonBody) -> Response:
    order = checked(CompressBody, body)
    began = time.perf_counter()
    found = await _compressor(request).compress(CompressionOrder(**order.model_dump()), tenant=caller.tenant)
    took = (time.perf_counter() - began) * 1000
    return json_response(
        CompressedView(**found.model_dump(), reduction=round(found.reduction, 4), milliseconds=round(took, 2))
    )


@router.post(
    "/api/v1/decompress",
    **describe(
        "Get an original back",
        "By its handle, or by the compressed text that names it.",
        scope=Scope.CHAT,
        answer=DecompressedView,
        body="DecompressBody",
        errors=(404,),
    ),
)
async def decompress(request: Request, caller: ChatCaller, body: JsonBody) -> Response:
    order = checked(DecompressBody, body)
    return json_response(
        DecompressedView(content=await _compressor(request).decompress(order.text, tenant=caller.tenant))
    )


def _compressor(request: Request) -> Compressor:
    compressor: Compressor | None = context_of(request).extensions["vortex"].service
    if compressor is None:
        raise NotReady("this gateway has no compression service")
    return compressor
