"""What compression does, as Prometheus sees it: counted where it is asked for, by turns and by the API alike."""

from __future__ import annotations

import time

from ossa.contracts.compression import KINDS, Compressed, CompressionOrder, Compressor
from ossa.contracts.errors import OssaError
from ossa.observability import AtMost, MetricGroup, counter, histogram

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
