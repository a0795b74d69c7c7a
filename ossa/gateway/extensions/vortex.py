"""Fewer tokens: contents of turns shortened and fetched back, placeholders of roles resolved."""

from __future__ import annotations

import asyncio
import logging
import time

from fastapi import APIRouter
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.cache import CacheStore
from ossa.contracts.compression import KINDS, Compressed, CompressionOrder, Compressor
from ossa.contracts.errors import InvalidRequest, NotFound, NotReady, OssaError
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.memory import Memory
from ossa.contracts.task import Task
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import ChatCaller, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import CompressBody, CompressedView, DecompressBody, DecompressedView
from ossa.gateway.context import context_of
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Extension, Run, TaskHook
from ossa.gateway.metrics import watch_cache
from ossa.observability import AtMost, MetricGroup, counter, histogram
from ossa.vortex.exchange.cache import TieredCache
from ossa.vortex.exchange.exchange import TokenExchange
from ossa.vortex.exchange.resolvers import standard_registry
from ossa.vortex.exchange.system_prompt import resolve_prompt
from ossa.vortex.originals import is_handle

CONTENT_KINDS = (*KINDS, "none")
OUTCOMES = AtMost(50, "outcomes and error codes")
SHARE_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
SECONDS_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class VortexMetrics(MetricGroup):
    """`kind` is the kind of most of a content."""

    contents = counter(
        "ossa_vortex_contents_total", "Contents given, by what became of them", kind=CONTENT_KINDS, outcome=OUTCOMES
    )
    tokens = counter("ossa_vortex_tokens_total", "Tokens of contents", kind=CONTENT_KINDS, when=("before", "after"))
    reduction = histogram(
        "ossa_vortex_reduction", "Share of the tokens left out", unit="share", buckets=SHARE_BUCKETS, kind=CONTENT_KINDS
    )
    fidelity = histogram(
        "ossa_vortex_fidelity", "Fidelity of what was kept", unit="share", buckets=SHARE_BUCKETS, kind=CONTENT_KINDS
    )
    seconds = histogram(
        "ossa_vortex_seconds",
        "Until the answer was there",
        buckets=SECONDS_BUCKETS,
        call=("compress", "decompress", "answer_look_up"),
    )
    fetched = counter("ossa_vortex_originals_total", "Originals asked for", outcome=OUTCOMES)
    answers = counter("ossa_vortex_answers_total", "Look-ups of earlier answers, and what was kept", outcome=OUTCOMES)
    answers_saved = counter(
        "ossa_vortex_answers_saved_usd_total", "What served answers cost when they were given first"
    )
    saved = counter("ossa_vortex_saved_tokens_total", "Prompt tokens that turns did not send", pool=AtMost(64, "pools"))

    def compressed(self, found: Compressed) -> None:
        kind = next(iter(found.kinds), "none")
        self.contents.labels(kind, "shortened" if found.handles else "whole").inc()
        self.tokens.labels(kind, "before").inc(found.tokens_before)
        self.tokens.labels(kind, "after").inc(found.tokens_after)
        if found.handles:
            self.reduction.labels(kind).observe(found.reduction)
            self.fidelity.labels(kind).observe(found.fidelity)


class MeteredCompressor:
    """Another compressor, counted."""

    def __init__(self, compressor: Compressor, metrics: VortexMetrics) -> None:
        self._compressor = compressor
        self._metrics = metrics

    async def compress(self, order: CompressionOrder, *, tenant: str) -> Compressed:
        began = time.perf_counter()
        try:
            found = await self._compressor.compress(order, tenant=tenant)
        except OssaError as error:
            self._metrics.contents.labels("none", error.code).inc()
            raise
        self._metrics.seconds.labels("compress").observe(time.perf_counter() - began)
        self._metrics.compressed(found)
        return found

    async def decompress(self, text: str, *, tenant: str) -> str:
        began = time.perf_counter()
        try:
            found = await self._compressor.decompress(text, tenant=tenant)
        except OssaError as error:
            self._metrics.fetched.labels(error.code).inc()
            raise
        self._metrics.seconds.labels("decompress").observe(time.perf_counter() - began)
        self._metrics.fetched.labels("found").inc()
        return found


EVERYTHING = "all"
SHOWN = frozenset(
    {"ossa_gateway_running_tasks", "ossa_gateway_open_tasks", "ossa_gateway_agents", "ossa_gateway_tasks_total"}
)
"""The operator's own numbers, of which a prompt of any tenant may speak."""


class RegistryMetrics:
    """`MetricReader` over a Prometheus registry: the sum of a series over its labels.

    The scope is a pool's name, or `all`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def value(self, name: str, *, scope: str, tenant: str) -> float | None:
        if name not in SHOWN:
            return None
        found = [
            sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == name and (scope == EVERYTHING or sample.labels.get("pool") == scope)
        ]
        return sum(found) if found else None


class RememberedText:
    """`ossa.vortex.exchange.resolvers.MemoryReader`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def recall(self, key: str, *, scope: str, tenant: str) -> str | None:
        try:
            found = await self._memory.recall(f"{scope}:{key}", tenant=tenant)
        except NotFound:
            return None
        return found.content


LONGEST_S = 30.0
"""Nobody waits longer for shorter contents."""

logger = logging.getLogger(__name__)


class VortexCalls:
    """One a replica. Raises what the service that was asked raises; `NotReady` where there is none."""

    def __init__(self, compressor: Compressor | None = None, exchange: TokenExchange | None = None) -> None:
        self._compressor = compressor
        self._exchange = exchange

    async def answer(self, call: TurnCall, *, task: Task, agent: AgentInfo) -> TurnCallResult:
        if call.role:
            return await self._resolved(call.role, task, agent)
        if self._compressor is None:
            raise NotReady("this gateway has no compression service")
        if call.original:
            if not is_handle(call.original):
                raise InvalidRequest("that is no handle", param="original")
            return TurnCallResult(original=await self._compressor.decompress(call.original, tenant=task.tenant))
        async with asyncio.timeout(LONGEST_S):
            orders = (self._compressor.compress(order, tenant=task.tenant) for order in call.compress)
            compressed = await asyncio.gather(*orders)
        return TurnCallResult(compressed=tuple(compressed))

    async def _resolved(self, role: str, task: Task, agent: AgentInfo) -> TurnCallResult:
        if self._exchange is None:
            raise NotReady("this gateway resolves no placeholders")
        prompt = await resolve_prompt(
            self._exchange,
            role,
            tenant=task.tenant,
            bindings={"task": task.id, "agent": agent.agent_id, "pool": agent.pool},
        )
        for failure in prompt.failures:
            logger.warning(
                "placeholder_not_resolved",
                extra={"manifest": agent.manifest, "placeholder": str(failure.placeholder), "task_id": task.id},
            )
        return TurnCallResult(role=prompt.text, values=prompt.values)


class VortexHook(TaskHook):
    """Answers turns that want contents shortened, an original back, or a role resolved."""

    def __init__(self, calls: VortexCalls) -> None:
        self._calls = calls

    async def call(self, call: TurnCall, run: Run) -> TurnCallResult | None:
        if run.agent is None or not (call.role or call.original or call.compress):
            return None
        return await self._calls.answer(call, task=run.task, agent=run.agent)


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


NAME = "vortex"


def extension(
    core: GatewayCore,
    *,
    compressor: Compressor | None,
    cache: CacheStore | None = None,
    memory: Memory | None = None,
) -> Extension:
    """Args:
    compressor: None makes the routes `NotReady`, and turns send all contents whole.
    cache: values of placeholders that replicas share; None: each replica has its own.
    memory: where placeholders of the memory are looked up.
    """
    metrics = core.metrics.group(VortexMetrics)
    metered = None if compressor is None else MeteredCompressor(compressor, metrics)
    resolvers = standard_registry(
        fleet=core.fleet,
        tasks=core.stores.journal,
        memory=None if memory is None else RememberedText(memory),
        metrics=RegistryMetrics(core.metrics.registry),
    )
    values = TieredCache(cache)
    watch_cache(core.metrics.registry, {"exchange": values.shared})
    calls = VortexCalls(metered, TokenExchange(resolvers, cache=values))
    return Extension(NAME, hooks=[VortexHook(calls)], routers=[router], service=metered)
