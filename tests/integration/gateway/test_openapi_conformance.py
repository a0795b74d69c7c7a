"""The gateway does what its OpenAPI document says, whatever is sent to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest
import schemathesis
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ossa.app.extensions import Backends
from ossa.contracts.access import Scope
from ossa.contracts.configuration import GatewaySettings
from ossa.tenancy.keys import mint
from ossa.testing.app import gateway_app
from ossa.testing.gateway import FakeFleet, FakeLink
from ossa.testing.stores import MemoryStores
from ossa.vortex.service import CompressionService
from tests.unit.memory.worlds import World

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = settings.default.max_examples // 6


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The app on a free port of this machine; its own event loop in its own thread."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < until, "the server did not start"
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@pytest.fixture(scope="module")
def secret_and_url() -> Iterator[tuple[str, str]]:
    stores = MemoryStores()
    minted = mint(tenant="default", name="test", scopes=[Scope.ADMIN], now=datetime.now(UTC))
    fleet = FakeFleet.of({"intelligence": 2, "security": 1}, store=stores.fleet)
    app = gateway_app(
        settings=GatewaySettings(claim_interval_s=0.05, max_body_bytes=64 * 1024, busy_wait_s=0.2),
        stores=stores,
        fleet=fleet,
        link=FakeLink(),
        backends=Backends(compressor=CompressionService(stores.originals), memory=World().process()),
        drain_s=1.0,
    )
    app.state.context.extensions["events"].service.streams._lasts_s = 0.1  # else they go on for minutes
    with serving(app) as url:
        asyncio.run(stores.keys.add(minted.key, secret_sha256=minted.secret_sha256))
        yield minted.secret, url


def check_operation(operation: schemathesis.APIOperation, headers: dict[str, str], mode: GenerationMode) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def every_answer_is_as_documented(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=20)

    every_answer_is_as_documented()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_every_answer_is_as_documented(secret_and_url: tuple[str, str], mode: GenerationMode) -> None:
    secret, url = secret_and_url
    api = schemathesis.openapi.from_url(f"{url}/openapi.json")
    failures: list[str] = []
    operations = [result.ok() for result in api.get_all_operations()]
    for operation in operations:
        try:
            check_operation(operation, {"Authorization": f"Bearer {secret}"}, mode)
        except Unsatisfiable:
            continue  # an operation without parameters and body cannot be asked wrongly
        except Exception as error:  # every operation is looked at before the test fails
            failures.append(f"{operation.label}: {error}")
    assert len(operations) > 20
    assert not failures, "\n\n".join(failures)


def test_the_document_names_every_way_in(secret_and_url: tuple[str, str]) -> None:
    _, url = secret_and_url
    document = httpx.get(f"{url}/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    for path in (
        "/v1/chat/completions",
        "/v1/models",
        "/api/v1/orchestration/deploy-phase",
        "/api/v1/agents/spawn-pool",
        "/api/v1/infrastructure/scale-to-phase4",
        "/api/v1/tasks/{task_id}/events",
        "/api/v1/operations/{operation_id}",
        "/api/v1/compress",
        "/api/v1/decompress",
        "/health",
        "/metrics",
    ):
        assert path in document["paths"]
