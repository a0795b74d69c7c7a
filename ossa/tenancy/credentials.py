"""Where a request carries its key."""

from __future__ import annotations


def secret_from_headers(authorization: str | None, x_api_key: str | None) -> str | None:
    """The key of `Authorization: Bearer KEY`, else of `X-API-Key: KEY`, else None."""
    if authorization:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer" and value.strip():
            return value.strip()
    return x_api_key.strip() if x_api_key and x_api_key.strip() else None
