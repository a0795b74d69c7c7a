"""HTTP answers become the errors of the contracts again."""

from __future__ import annotations

import pickle
from typing import Any

import httpx
import pytest

from ossa.contracts.errors import (
    Conflict,
    FleetBusy,
    ManifestError,
    NotFound,
    NotReady,
    OssaError,
    TimedOut,
    Unauthenticated,
    error_types,
)
from ossa.sdk.errors import UnexpectedAnswer, Unreachable, WrongUsage, error_of, error_of_transport

URL = "http://fleet"


def answer(status: int, *, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return httpx.Response(status, headers=headers, request=httpx.Request("GET", f"{URL}/x?secret=1"), **body)


@pytest.mark.parametrize("code", [code for code in error_types() if code not in ("unreachable", "unexpected_answer")])
def test_every_error_of_the_contracts_survives_both_forms(code: str) -> None:
    cls = error_types()[code]
    problem = {"title": cls.title, "status": cls.status, "detail": "why", "code": code, "param": "a.b"}
    openai = {"error": {"message": "why", "type": "invalid_request_error", "code": code, "param": "a.b"}}
    for body in (problem, openai):
        error = error_of(answer(cls.status, json=body))
        assert (type(error), error.message, error.param) == (cls, "why", "a.b")


def test_a_problem_without_a_code_is_known_by_its_type_or_its_status() -> None:
    by_type = error_of(answer(422, json={"type": "https://ossa.example/errors/manifest_invalid", "detail": "x"}))
    assert type(by_type) is ManifestError
    assert type(error_of(answer(404, json={"title": "Not Found", "type": "about:blank"}))) is NotFound
    assert type(error_of(answer(418, json={"title": "Teapot"}))) is OssaError


def test_openai_codes_are_understood() -> None:
    assert type(error_of(answer(401, json={"error": {"message": "no", "code": "invalid_api_key"}}))) is Unauthenticated


def test_retry_after_and_machine_readable_details_are_kept() -> None:
    error = error_of(
        answer(429, headers={"Retry-After": "3"}, json={"detail": "full", "code": "fleet_busy", "queued": 9})
    )
    assert isinstance(error, FleetBusy)
    assert (error.retry_after_s, error.details) == (3.0, {"queued": 9})


def test_a_framework_s_list_of_faults_becomes_details() -> None:
    error = error_of(answer(422, json={"detail": [{"loc": ["body", "x"], "msg": "missing"}]}))
    assert error.status == 422
    assert error.details["detail"] == [{"loc": ["body", "x"], "msg": "missing"}]


@pytest.mark.parametrize("content", [b"<html>Bad Gateway</html>", b"", b"[1]", b'{"ok": true}'])
def test_a_foreign_answer_is_named_as_such_without_its_query(content: bytes) -> None:
    error = error_of(answer(502, content=content))
    assert isinstance(error, UnexpectedAnswer)
    assert "http://fleet/x answered 502" in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("below", "expected", "sent"),
    [
        (httpx.ConnectError("refused"), Unreachable, False),
        (httpx.ConnectTimeout("slow"), Unreachable, False),
        (httpx.ReadError("reset"), Unreachable, True),
        (httpx.RemoteProtocolError("closed"), Unreachable, True),
        (httpx.ReadTimeout("slow"), TimedOut, None),
    ],
)
def test_failures_below_http_are_translated(below: httpx.HTTPError, expected: type, sent: bool | None) -> None:
    error = error_of_transport(below, URL)
    assert type(error) is expected
    assert error.details.get("sent") is sent


def test_errors_of_the_client_pickle_whole() -> None:
    error = pickle.loads(pickle.dumps(Unreachable("gone", details={"sent": True})))
    assert (type(error), error.message, error.details) == (Unreachable, "gone", {"sent": True})
    assert type(pickle.loads(pickle.dumps(NotReady("x")))) is NotReady


def test_a_header_that_cannot_be_sent_is_not_shown() -> None:
    below = httpx.LocalProtocolError("Illegal header value b'Bearer ossa_sk_secret\\r'")
    error = error_of_transport(below, URL)
    assert isinstance(error, WrongUsage)
    assert "ossa_sk_secret" not in error.message


def test_a_subclass_without_a_code_of_its_own_does_not_take_its_parents() -> None:
    class Private(Conflict):
        pass

    assert (error_types()["internal"], error_types()["conflict"]) == (OssaError, Conflict)
    assert Private.code == "conflict"
