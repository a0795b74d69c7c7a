"""How long the embedded model takes to answer: prompts whole, whole with its prompt cache, and ours with it.

The same model calls of the same sessions, one way after the other, each way beginning with an empty cache.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.progress import Progress

from benchmarks.sessions.replay import Owner, replay
from benchmarks.sessions.session import Message, Session
from ossa.contracts.configuration import Endpoint, Models, VortexSettings
from ossa.embedded.model import EmbeddedModel
from ossa.vortex.tokens import counter_for

CONTEXT = 8192
ROOM = 6500
"""Tokens of a prompt by our count; the model's own tokenizer finds some more."""

ANSWER_TOKENS = 16
CALLS = 6
"""Of a session: the first ones."""

TIMEOUT_S = 600.0
WAYS = ("whole", "cached", "ossa")


async def measure(
    sets: dict[str, list[Session]], settings: VortexSettings, sessions: int, progress: Progress
) -> dict[str, Any]:
    """Seconds to answer by way, over `sessions` sessions of each set, with quantiles and ratios to `whole`."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="latency-") as home:
        model = EmbeddedModel(Path(home), Models(embedded_slots=1, embedded_context=CONTEXT))
        endpoint = model.start()
        try:
            for name, found in sets.items():
                task = progress.add_task(f"{name} on the embedded model", total=sessions)
                for session in found[:sessions]:
                    await _session(session, settings, endpoint, seconds)
                    progress.advance(task)
        finally:
            model.stop()
    total = {way: sum(times) for way, times in seconds.items()}
    ratios = {way: [t / w for t, w in zip(seconds[way], seconds["whole"], strict=True)] for way in WAYS}
    return {
        way: {
            "n": len(times),
            "p50_s": round(statistics.median(times), 3),
            "total_s": round(total[way], 1),
            "shorter_by": round(1 - total[way] / total["whole"], 4),
            "shorter_by_p50": round(1 - statistics.median(ratios[way]), 4),
        }
        for way, times in seconds.items()
        if times
    }


async def _session(
    session: Session, settings: VortexSettings, endpoint: Endpoint, seconds: dict[str, list[float]]
) -> None:
    # Priced like a provider with a cache: what is free is not worth planning for.
    made = await replay(session, endpoint, settings, Owner(), keep=True)
    counter = counter_for()
    prompts = [pair for pair in made.prompts if counter.count(json.dumps(pair[0])) < ROOM][:CALLS]
    with httpx.Client(timeout=TIMEOUT_S) as http:
        for way in WAYS:
            _ask(http, endpoint, [{"role": "user", "content": f"{way} {session.id}"}], cached=False)
            for whole, short in prompts:
                began = time.perf_counter()
                _ask(http, endpoint, short if way == "ossa" else whole, cached=way != "whole")
                seconds[way].append(time.perf_counter() - began)


def _ask(http: httpx.Client, endpoint: Endpoint, messages: Sequence[Message], *, cached: bool) -> None:
    answer = http.post(
        f"{endpoint.base_url}/chat/completions",
        headers={"authorization": f"Bearer {endpoint.api_key.get_secret_value()}"},
        json={
            "model": endpoint.model,
            "messages": [_plain(message) for message in messages],
            "max_tokens": ANSWER_TOKENS,
            "temperature": 0,
            "cache_prompt": cached,
        },
    )
    answer.raise_for_status()


def _plain(message: Message) -> Message:
    """Without tool calls, which the model's chat template does not know."""
    calls = "".join(
        f"\n{call['function']['name']} {call['function'].get('arguments') or ''}"
        for call in message.get("tool_calls") or ()
    )
    role = "user" if message["role"] == "tool" else message["role"]
    return {"role": role, "content": f"{message.get('content') or ''}{calls}"}
