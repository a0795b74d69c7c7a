"""Policies, decisions, feedback and models of routing, and the store that keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, model_validator

from ossa.contracts.agent_spec import Tier
from ossa.contracts.task import ErrorInfo
from ossa.contracts.value import Value

TIERS: tuple[Tier, ...] = ("lightweight", "standard", "premium", "specialized")
"""From cheap to dear, as manifests mean them; known prices take precedence."""

ModelKind = Literal["labels", "agents", "quality", "forecast"]
"""Kinds of models in the registry. The first three route requests; `forecast` predicts traffic."""

EVERY_TENANT = "*"
"""The tenant whose policy applies to tenants without one."""

MAX_EXAMPLE_CHARACTERS = 8_000
MAX_POLICY_TIERS = 1_000
"""Manifests that a policy may name: every replica reads every policy."""

ManifestName = Annotated[str, Field(min_length=1, max_length=253)]


class RoutingPolicy(Value):
    """A tenant's routing policy. The policy of tenant `*` applies to tenants without one.

    `models`: `manifest` takes the manifest's tier; `cheapest` the cheapest one whose expected quality is at least
    `quality_floor` of the best allowed one's; `best` the best.
    """

    models: Literal["manifest", "cheapest", "best"] = "manifest"
    quality_floor: float = Field(0.95, ge=0, le=1, description="share of the best expected quality, for `cheapest`")
    tiers: dict[ManifestName, Tier] = Field(
        default_factory=dict, max_length=MAX_POLICY_TIERS, description="manifest -> its tier, whatever else is said"
    )
    dearer: bool = Field(False, description="a tier above the manifest's may be taken")
    cascade: bool = Field(False, description="ask the cheapest tier first, and the next when a check fails")
    fit_weight: float = Field(0.7, ge=0, le=1)
    load_weight: float = Field(0.3, ge=0, le=1)
    affinity: float = Field(0.1, ge=0, le=1, description="added for the agent that had this conversation before")
    trust_floor: float = Field(0.0, ge=0, le=1, description="agents whose manifest claims less trust are not asked")
    explore: float = Field(0.0, ge=0, le=0.1, description="share of requests that try another allowed tier; 0: none")


class TierInfo(Value):
    """A tier's endpoint. Prices are in USD for a million tokens; None: unknown, counted as free."""

    tier: Tier
    model: str
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    context_tokens: int | None = None

    def cost_usd(self, prompt_tokens: float, completion_tokens: float) -> float:
        return (
            prompt_tokens * (self.input_usd_per_mtok or 0.0) + completion_tokens * (self.output_usd_per_mtok or 0.0)
        ) / 1e6


class AgentScore(Value, defer_build=False):  # only a class that is built warns of its deprecated fields
    """One candidate; figures lie in [0, 1].

    `headroom` is the share of its slots that is free (1.0: idle), less where it is slow. `score` is what was compared.
    `load` is the deprecated name of `headroom` and goes with the next version.
    """

    agent_id: str
    manifest: str
    pool: str
    fit: float
    headroom: float
    affinity: float = 0.0
    score: float

    load: float = Field(0.0, deprecated="Read `headroom`.", description="deprecated name of `headroom`", repr=False)

    @model_validator(mode="before")
    @classmethod
    def _fill_both_names(cls, data: Any) -> Any:
        """Fills `load` from `headroom`, and `headroom` from `load` in scores stored by older versions."""
        headroom = data.get("headroom", data.get("load")) if isinstance(data, dict) else None
        return data if headroom is None else {**data, "headroom": headroom, "load": headroom}


class TierScore(Value):
    """`quality`: expected share of right answers; `cost_usd`: expected of one model call."""

    tier: Tier
    model: str
    quality: float
    cost_usd: float


class Route(Value):
    """A decision and its reasons, as the journal keeps them and `--explain` shows them.

    `router`: digests of the models that scored, or `rules`. `filtered`: agents that each filter removed.
    `tiers_filtered`: why a tier was not allowed.
    """

    agent_id: str
    manifest: str
    pool: str
    tier: Tier | None = None
    cascade: tuple[Tier, ...] = ()
    explored: bool = False
    agents: tuple[AgentScore, ...] = ()
    tiers: tuple[TierScore, ...] = ()
    filtered: dict[str, int] = Field(default_factory=dict)
    tiers_filtered: dict[str, str] = Field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    router: str = "rules"
    policy: str = "manifest"
    microseconds: int = 0


class Decided(Value):
    """A route, or why there is none."""

    route: Route | None = None
    error: ErrorInfo | None = None


class Feedback(Value):
    """A user's rating of a task's answer; a second one replaces the first."""

    task_id: str
    tenant: str
    rating: float = Field(ge=0, le=1, description="0 useless, 1 what was wanted")
    comment: str = Field("", max_length=4096)
    expected: str = Field("", max_length=253, description="the manifest or pool that should have answered")
    at: datetime


class Example(Value):
    """A finished task as training data. Cancelled tasks and cached answers are none.

    `manifest` is empty and `explored` False if the journal has no `Route` of the task. `tier` is the one that answered,
    else the one that was chosen. `seconds`: from the request until the end.
    """

    task_id: str
    tenant: str
    text: str = Field(description="the last user message, at most `MAX_EXAMPLE_CHARACTERS`")
    target: str
    manifest: str
    pool: str
    tier: Tier | None
    succeeded: bool
    explored: bool
    tool_errors: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    seconds: float
    rating: float | None
    expected: str
    at: datetime


class ModelRecord(Value):
    """A learned model in the registry, without its file.

    At most one of a kind is `live`. A `retired` one was live before, and `roll_back` returns to it; one that was rolled
    back is a `candidate` again, without `promoted_at`.
    """

    kind: ModelKind
    version: int = Field(ge=1)
    digest: str
    card: dict[str, Any]
    state: Literal["candidate", "live", "retired"]
    created_at: datetime
    promoted_at: datetime | None = None


class ModelStatus(Value):
    """The model of a kind that serves in one process.

    `fallback`: why it is not the promoted one (damaged, too old, ...); empty if it is. `aside`: why rules decide
    although there is a model: its inputs or its quality left their bounds. It comes back by itself.
    """

    kind: ModelKind
    source: Literal["registry", "packaged", "rules"]
    version: int | None = None
    digest: str = ""
    since: datetime
    fallback: str = ""
    aside: str = ""
    input_drift: dict[str, float] = Field(
        default_factory=dict, description="population stability index by what was looked at; absent: too few requests"
    )
    quality_alarm: float = Field(0.0, ge=0, description="evidence that answers are worse than expected; 1: set aside")


class RouterStatus(Value):
    """The router of one replica. `checked_at`: when the registry last answered; `fault`: why it does not."""

    models: tuple[ModelStatus, ...] = ()
    swaps: int = 0
    checked_at: datetime | None = None
    fault: str = ""


class RoutingStore(Protocol):
    """Policies, feedback and router models. Every method raises `StoreUnavailable` when the store does not answer."""

    async def policies(self) -> dict[str, RoutingPolicy]:
        """Returns policies by tenant. An unreadable one is logged and skipped until it is saved anew."""

    async def save_policy(self, tenant: str, policy: RoutingPolicy | None) -> None:
        """Saves a policy; None removes it."""

    async def rate(self, feedback: Feedback) -> None:
        """Keeps a rating. Raises `NotFound` if the tenant has no such task, `Conflict` if it has not ended."""

    async def feedback(self, task_id: str, *, tenant: str) -> Feedback | None: ...

    async def examples(self, *, since: datetime, limit: int, tenant: str | None = None) -> list[Example]:
        """Returns the `limit` tasks that ended last, at `since` or later, newest first."""

    async def rated(self, *, since: datetime, limit: int) -> list[Example]:
        """Returns the `limit` tasks that were rated last, at `since` or later, newest first."""

    async def add_model(self, kind: ModelKind, content: bytes, *, card: dict[str, Any], digest: str) -> ModelRecord:
        """Adds a candidate with the next version of its kind. An existing digest returns its record."""

    async def models(self, *, kind: ModelKind | None = None) -> Sequence[ModelRecord]:
        """Returns models, newest first."""

    async def live(self) -> Sequence[ModelRecord]:
        """Returns the live models, at most one of a kind."""

    async def model_file(self, kind: ModelKind, version: int) -> bytes:
        """Returns a model's file. Raises `NotFound`."""

    async def promote(self, kind: ModelKind, version: int) -> ModelRecord:
        """Makes a model live and retires the one that was. Does nothing if it is live. Raises `NotFound`."""

    async def roll_back(self, kind: ModelKind) -> ModelRecord | None:
        """Makes the model live that was live before, and returns it.

        Returns None if there is none: the packaged model serves then (simple methods for `forecast`).
        """
