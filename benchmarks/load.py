"""A lean HTTP load generator: closed loop, one connection a client, latencies by `perf_counter`.

    python -m benchmarks.load URL --clients 8 --seconds 5 [--header K:V] --body JSON

It runs in a process of its own and parses answers with httptools, so that it
takes little of the machine that it measures. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools


@dataclass(frozen=True)
class Load:
    """What one run saw. Latencies in milliseconds; `errors` counts answers other than 2xx and broken connections."""

    clients: int
    requests: int
    errors: int
    seconds: float
    rps: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    first_error: str = ""


class _Client(asyncio.Protocol):
    """Sends the same request again as soon as the answer is whole."""

    def __init__(self, request: bytes, until: float, done: asyncio.Future[None]) -> None:
        self._request = request
        self._until = until
        self._done = done
        self._began = 0.0
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self.latencies: list[float] = []
        self.errors = 0
        self.first_error = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._fail("connection lost")
            self._done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        if self._parser.get_status_code() >= 300:
            self._body += body

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        status = self._parser.get_status_code()
        if 200 <= status < 300:
            self.latencies.append(now - self._began)
        else:
            self._fail(f"{status}: {self._body[:200].decode(errors='replace')}")
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        if now < self._until:
            self._send()
        elif not self._done.done():
            self._done.set_result(None)

    def _fail(self, reason: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or reason

    def _send(self) -> None:
        assert self._transport is not None
        self._began = time.perf_counter()
        self._transport.write(self._request)


def _request(url: str, headers: dict[str, str], body: bytes) -> tuple[str, int, bytes]:
    parts = urlsplit(url)
    lines = [
        f"{'POST' if body else 'GET'} {parts.path or '/'} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return parts.hostname or "", parts.port or 80, "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def drive(url: str, *, clients: int, seconds: float, headers: dict[str, str], body: bytes) -> Load:
    """Load `url` with that many clients for that long."""
    host, port, request = _request(url, headers, body)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    protocols: list[_Client] = []
    ends = []
    for _ in range(clients):
        done: asyncio.Future[None] = loop.create_future()
        protocol = _Client(request, began + seconds, done)
        await loop.create_connection(lambda protocol=protocol: protocol, host, port)  # type: ignore[misc]
        protocols.append(protocol)
        ends.append(done)
    await asyncio.wait_for(asyncio.gather(*ends), seconds + 60)
    took = time.perf_counter() - began
    latencies = sorted(latency for protocol in protocols for latency in protocol.latencies)
    return _summary(clients, latencies, took, protocols)


def _summary(clients: int, latencies: list[float], took: float, protocols: list[_Client]) -> Load:
    def percentile(share: float) -> float:
        return round(1e3 * latencies[min(len(latencies) - 1, int(share * len(latencies)))], 3) if latencies else 0.0

    return Load(
        clients=clients,
        requests=len(latencies),
        errors=sum(protocol.errors for protocol in protocols),
        seconds=round(took, 3),
        rps=round(len(latencies) / took, 1),
        p50_ms=round(1e3 * statistics.median(latencies), 3) if latencies else 0.0,
        p90_ms=percentile(0.90),
        p99_ms=percentile(0.99),
        first_error=next((protocol.first_error for protocol in protocols if protocol.first_error), ""),
    )


def run(url: str, *, clients: int, seconds: float, headers: dict[str, str], body: bytes) -> Load:
    """`drive` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.load", url, "--clients", str(clients), "--seconds", str(seconds)]
    for name, value in headers.items():
        command += ["--header", f"{name}:{value}"]
    ended = subprocess.run(
        [*command, "--body", body.decode()], capture_output=True, text=True, timeout=seconds + 120, check=True
    )
    return Load(**json.loads(ended.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--body", default="")
    options = parser.parse_args()
    headers = dict(header.split(":", 1) for header in options.header)
    load = asyncio.run(
        drive(
            options.url,
            clients=options.clients,
            seconds=options.seconds,
            headers=headers,
            body=options.body.encode(),
        )
    )
    print(json.dumps(asdict(load)))


if __name__ == "__main__":
    main()
