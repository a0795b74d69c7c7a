"""Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx

from scripts.services import Services


def test_it_watches_itself_and_the_targets_it_is_given(
    services: Services, installed: Callable[[str], None], until: Callable[[Callable[[], bool]], float]
) -> None:
    installed("prometheus")
    address = services.start("prometheus")
    targets = [{"targets": list(address.hosts), "labels": {"replica": "first"}}]
    (Path(address.folder or "") / "gateway.json").write_text(json.dumps(targets))

    def watched(query: str) -> bool:
        answer = httpx.get(f"{address.dsn}/api/v1/query", params={"query": query}, trust_env=False).json()
        return [found["value"][1] for found in answer["data"]["result"]] == ["1"]

    until(lambda: watched('up{job="prometheus"}'))
    until(lambda: watched('up{job="ossa",replica="first"}'))
