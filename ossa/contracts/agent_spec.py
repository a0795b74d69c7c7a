"""An agent's manifest, independent of the dialect it was written in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ossa.contracts.value import Value

Tier = Literal["lightweight", "standard", "premium", "specialized"]
Autonomy = Literal["supervised", "semi_autonomous", "autonomous", "unspecified"]


class ModelPreference(Value):
    """Which model the manifest asks for. Settings map `tier` to a real endpoint.

    `provider` and `model` are as written (after `${VAR:-default}`); they are
    used as they are only where settings know an endpoint of that name.
    """

    tier: Tier = "standard"
    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    top_p: float | None = None


class ToolRef(Value):
    """A tool the manifest names. It runs only if the allow-list has it."""

    name: str
    description: str = ""
    config: dict[str, Any] = Field(default_factory=dict)


class Limits(Value):
    """Enforced limits; None means the fleet's default applies (or no limit a day)."""

    max_tokens_per_request: int | None = Field(default=None, ge=1, description="prompt + completion tokens of one turn")
    max_tokens_per_day: int | None = Field(default=None, ge=1)
    max_cost_per_day_usd: float | None = Field(default=None, ge=0)
    timeout_s: float | None = Field(default=None, gt=0, description="wall time of one turn")
    max_concurrent_requests: int | None = Field(default=None, ge=1, description="turns at once in one agent")
    max_steps: int | None = Field(default=None, ge=1, description="model calls in one turn")


class AgentSpec(Value):
    """One agent's manifest, read.

    `document` is the manifest as it was parsed (variables not expanded), so
    that what is not understood is kept and `ossa.manifest.dump` round-trips.
    """

    name: str = Field(min_length=1, max_length=253)
    version: str = "0.0.0"
    dialect: str = Field(
        description="as written: `ossa/v0.5.0`, `@bluefly/ossa/v0.1.9`, `ossa: 0.1.8`, `ossaVersion: 1.0`"
    )
    description: str = ""
    role: str = Field(default="", description="the system prompt")
    model: ModelPreference = ModelPreference()
    tools: tuple[ToolRef, ...] = ()
    capabilities: tuple[str, ...] = ()
    limits: Limits = Limits()
    autonomy: Autonomy = "unspecified"
    pool: str | None = Field(default=None, description="pool the manifest asks for, by label or taxonomy")
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    document: dict[str, Any] = Field(default_factory=dict, repr=False)
    source: str = Field(default="", description="file and line it came from")
    digest: str = Field(default="", description="sha256 of the canonical document; two equal specs have equal digests")
