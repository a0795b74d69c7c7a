"""Compressing a context in the fleet, and getting the original back."""

from __future__ import annotations

from ossa.sdk.call import Call, Request
from ossa.sdk.values.compression import Compression


def compress(
    content: str,
    question: str,
    reduction: float | None,
    budget_tokens: int | None,
    kind: str | None,
    floor: bool,
    model: str,
) -> Call[Compression]:
    body = {
        "content": content,
        "question": question,
        "reduction": reduction,
        "budget_tokens": budget_tokens,
        "kind": kind,
        "floor": floor,
        "model": model,
    }
    return Call(
        Request("POST", "/api/v1/compress", json=body),
        lambda response: Compression.model_validate(response.json()),
    )


def decompress(text: str) -> Call[str]:
    return Call(
        Request("POST", "/api/v1/decompress", json={"text": text}), lambda response: str(response.json()["content"])
    )
