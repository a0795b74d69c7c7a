"""Feedback, policies and router models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ossa.sdk.call import Call, Request
from ossa.sdk.calls.listed import items
from ossa.sdk.calls.tasks import task_path
from ossa.sdk.values.routing import Feedback, Policy, RolledBack, RouterModel, RouterModels, RouterStatus

PATH = "/api/v1/routing"


def rate(task_id: str, rating: float | str, *, comment: str, expected: str) -> Call[Feedback]:
    """Rating twice keeps the last one: it may be sent again."""
    body: dict[str, Any] = {"rating": rating, "comment": comment, "expected": expected}
    return Call(
        Request("POST", task_path(task_id, "feedback"), json=body),
        lambda response: Feedback.model_validate(response.json()),
    )


def policy(tenant: str | None) -> Call[Policy]:
    return _policy("GET", tenant)


def set_policy(settings: Mapping[str, Any], tenant: str | None) -> Call[Policy]:
    return _policy("PUT", tenant, dict(settings))


def remove_policy(tenant: str | None) -> Call[Policy]:
    return _policy("DELETE", tenant)


def _policy(method: str, tenant: str | None, body: dict[str, Any] | None = None) -> Call[Policy]:
    params = {"tenant": tenant} if tenant else {}
    return Call(
        Request(method, f"{PATH}/policy", params=params, json=body),
        lambda response: Policy.model_validate(response.json()),
    )


def models(kind: str | None) -> Call[RouterModels]:
    return Call(
        Request("GET", f"{PATH}/models", params={"kind": kind} if kind else {}),
        lambda response: RouterModels(RouterModel.model_validate(item) for item in items(response)),
    )


def promote(kind: str, version: int) -> Call[RouterModel]:
    """Promoting twice is promoting once."""
    return Call(
        Request("POST", f"{PATH}/models/{quote(kind, safe='')}/{version}/promote"),
        lambda response: RouterModel.model_validate(response.json()),
    )


def roll_back(kind: str) -> Call[RolledBack]:
    """Not repeatable: each time goes one step further back."""
    return Call(
        Request("POST", f"{PATH}/models/{quote(kind, safe='')}/rollback", repeatable=False),
        lambda response: RolledBack.model_validate(response.json()),
    )


def status() -> Call[RouterStatus]:
    return Call(
        Request("GET", f"{PATH}/status"),
        lambda response: RouterStatus.model_validate(response.json()),
    )
