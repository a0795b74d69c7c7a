"""Events at a rate, end to end: journal -> outbox -> Kafka of three brokers -> consumer, each a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

from benchmarks.data.event_roles import EVENTS_A_TASK
from ossa.contracts.configuration import EventSettings

SKIPPED = 0.05
"""Of the events, the first ones: connections are made then."""

WARM_UP = (5_000.0, 150.0)
"""Events a second, and seconds: a broker just started makes groups' topics and compiles its code as it goes."""

PATIENCE_S = 60.0
"""After the last write, for what is on its way."""

BARE_TOPIC = "bare.events"


def run(dsn: str, servers: str, *, per_s: float, seconds: float, partitions: int) -> dict[str, Any]:
    """Ours, then the bare driver at the same rate, each after `WARM_UP`."""
    settings = {"bootstrap_servers": servers, "create_topics": True, "partitions": partitions}
    said = {"dsn": dsn, "events": settings, "skip": SKIPPED, "bare_topic": BARE_TOPIC}
    warm_up, asked = {**said, **_load(*WARM_UP)}, {**said, **_load(per_s, seconds)}
    expected = asked["expected"]
    asyncio.run(_prepare(settings))
    _flow(warm_up, "writer", "consumer", "publisher")
    ours = _flow(asked, "writer", "consumer", "publisher")
    _flow(warm_up, "bare_writer", "bare_consumer")
    bare = _flow(asked, "bare_writer", "bare_consumer")
    lag, bare_lag = ours["consumer"]["lag"], bare["bare_consumer"]["lag"]
    return {
        **{"asked_per_s": per_s, "seconds": seconds, "events": expected},
        **{"brokers": len(servers.split(",")), "partitions": partitions},
        "per_s": ours["writer"]["per_s"],
        **{name: ours["consumer"][name] for name in ("handled", "lost", "twice", "out_of_order")},
        **{f"lag_{name}": value for name, value in lag.items() if name != "n"},
        "writes_begun_late_p99_ms": ours["writer"]["begun_late"].get("p99_ms"),
        "left_in_outbox": ours["publisher"]["left"],
        **{f"bare_lag_{name}": value for name, value in bare_lag.items() if name != "n"},
        "bare_per_s": bare["bare_writer"]["per_s"],
    }


def _load(per_s: float, seconds: float) -> dict[str, Any]:
    return {"per_s": per_s, "seconds": seconds, "expected": int(per_s * seconds / EVENTS_A_TASK) * EVENTS_A_TASK}


async def _prepare(settings: dict[str, Any]) -> None:
    """Both topics, of the same shape."""
    from ossa.stores.kafka import KafkaBus

    for topic in (EventSettings().topic, BARE_TOPIC):
        bus = KafkaBus(EventSettings(**{**settings, "topic": topic, "dead_topic": f"{topic}.dead"}))
        await bus.prepare()
        await bus.close()


def _flow(said: dict[str, Any], source: str, sink: str, *between: str) -> dict[str, Any]:
    behind = {role: _start(role, said) for role in (sink, *between)}
    time.sleep(5)  # the group's first assignment; what is written meanwhile would only be late
    first = _start(source, said)
    found = {source: _end(first, said["seconds"] * 10 + PATIENCE_S)}
    try:
        found[sink] = _end(behind[sink], PATIENCE_S)
    except subprocess.TimeoutExpired:
        behind[sink].terminate()
        found[sink] = _end(behind[sink], PATIENCE_S)
    for role in between:
        behind[role].terminate()
        found[role] = _end(behind[role], PATIENCE_S)
    return found


def _start(role: str, said: dict[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.data.event_roles", role],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(said))  # not an argument: it holds a password
    process.stdin.close()
    process.stdin = None
    return process


def _end(process: subprocess.Popen[str], within_s: float) -> dict[str, Any]:
    printed, _ = process.communicate(timeout=within_s)
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found
