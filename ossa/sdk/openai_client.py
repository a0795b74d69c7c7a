"""The official OpenAI client, when it is installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def openai_module() -> Any:
    """Raises `ModuleNotFoundError` that says what to install."""
    try:
        return import_module("openai")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "client.openai() needs the official client: pip install openai", name="openai"
        ) from error
