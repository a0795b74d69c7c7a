"""A model's name says its tier."""

from __future__ import annotations

import pytest

from ossa.manifest.fields import guess_tier


@pytest.mark.parametrize(
    ("model", "tier"),
    [
        ("gpt-4o", "standard"),
        ("gpt-4o-mini", "lightweight"),
        ("gpt-4.1-nano", "lightweight"),
        ("gpt-3.5-turbo", "lightweight"),
        ("gpt-4-turbo", "standard"),
        ("gpt-5", "premium"),
        ("gpt-5-mini", "lightweight"),
        ("o1", "premium"),
        ("o3-mini", "lightweight"),
        ("claude-3-5-haiku-20241022", "lightweight"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "standard"),
        ("claude-opus-4-5-20251101", "premium"),
        ("gemini-2.0-flash", "lightweight"),
        ("gemini-2.5-pro", "premium"),
        ("mistral-large-latest", "standard"),
        ("mistral-small-latest", "lightweight"),
        ("meta-llama/Llama-3.1-8B-Instruct", "lightweight"),
        ("llama-3.1-70b", "standard"),
        ("llama-3.1-405b", "premium"),
        ("SmolLM2-135M-Instruct", "lightweight"),
        ("qwen2.5-coder-32b", "specialized"),
        ("text-embedding-3-small", "specialized"),
        ("deepseek-r1", "premium"),
        ("professor-x", "standard"),
        ("", "standard"),
        (None, "standard"),
        ("-" * 100_000, "standard"),
    ],
)
def test_the_name_says_the_tier(model: str | None, tier: str) -> None:
    assert guess_tier(model) == tier
