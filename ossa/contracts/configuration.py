"""The sections of the settings tree, as values that can be handed to any process.

`ossa.settings` reads them; this file imports no reader, because every agent process imports it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from ossa.contracts.agent_spec import Tier
from ossa.contracts.memory import PlacementPolicy
from ossa.contracts.parameters import CAPS
from ossa.contracts.scaling import ScaleRules, ScalingMode, StartUp

TOPIC_PATTERN = r"^[a-zA-Z0-9._-]{1,249}$"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)


class Database(Section):
    """`dsn` empty: the embedded PostgreSQL. What a DSN says itself (`sslmode`, a password) goes before a setting."""

    dsn: SecretStr = Field(
        SecretStr(""), description="several members: postgresql://H1:P1,H2:P2/DB?target_session_attrs=read-write"
    )
    password: SecretStr = Field(SecretStr(""), description="for DSNs without one")
    replica_dsn: SecretStr = Field(
        SecretStr(""),
        description="for reads that tolerate lag; `standbys`: those among the members of `dsn`; empty: none",
    )
    replica_lag_s: float = Field(5, gt=0, description="a replica that may be further behind is not read from")
    pool_max: int = Field(8, ge=3, le=200, description="connections of one process, at most")
    pool_total: int = Field(200, ge=8, le=200, description="connections of all processes of the fleet together")
    connect_timeout_s: float = Field(10, gt=0, description="for all members of a DSN together")
    statement_timeout_s: float = Field(10, gt=0)
    lock_timeout_s: float = Field(5, gt=0, description="a statement that waits longer for a lock is tried again")
    group_commit_max: int = Field(256, ge=1, description="journal writes in one commit, at most")
    history_days: float = Field(30, ge=1, description="ended tasks are kept so long after their end")
    ssl_mode: Literal["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "", description="empty: prefer, as the driver has it"
    )
    ssl_root_cert: str = Field("", description="file of the authority that signed the server's certificate")
    ssl_cert: str = Field("", description="file of this client's certificate")
    ssl_key: str = Field("", description="file of its key")


class PromptCache(Section):
    """What a provider's prompt cache charges, as shares of the input price. The defaults are the strictest in use."""

    read: float = Field(0.1, ge=0, le=1, description="for tokens that were in the last prompt")
    write: float = Field(1.25, ge=1, description="for tokens that are new in a prompt that is kept")
    min_prefix_tokens: int = Field(1024, ge=0, description="a shorter prompt is not kept")
    step_tokens: int = Field(1, ge=1, description="kept in multiples of so many")
    lifetime_s: float = Field(300, gt=0, description="kept so long after its last use")


PresetName = Literal[
    "generic",
    "openai",
    "openai-reasoning",
    "azure",
    "anthropic-compatible",
    "gemini",
    "deepseek",
    "mistral",
    "groq",
    "ollama",
    "vllm",
    "llama.cpp",
    "openrouter",
    "bedrock-compatible",
]


class Endpoint(Section):
    """One OpenAI-compatible endpoint. `base_url` ends before `/chat/completions`."""

    base_url: str
    api_key: SecretStr = SecretStr("")
    model: str
    preset: PresetName | None = Field(
        None, description="which kind of server it is; None: by the host of `base_url`, else generic: it is learned"
    )
    renamed: dict[str, str] = Field(
        default_factory=dict, description="parameters that it knows by another name: theirs by OpenAI's"
    )
    dropped: frozenset[str] = Field(frozenset(), description="parameters that it refuses and that are left out")
    added: dict[str, Any] = Field(
        default_factory=dict, description="sent in the body of each call, before what a request says"
    )
    one_system: bool | None = Field(
        None, description="whether all system messages become one, at the start; None: as the preset has it"
    )
    ca_file: Path | None = Field(
        None, description="who signed the server's certificate; None: the system's authorities"
    )
    timeout_s: float = Field(120, gt=0)
    connect_timeout_s: float = Field(5, gt=0)
    max_retries: int = Field(3, ge=0, le=10)
    backoff_s: float = Field(0.25, gt=0, description="first wait; doubles, with full jitter, up to 20 s")
    forced_tools: Literal["native", "schema"] = Field(
        "native", description="schema: a forced tool_choice becomes a JSON schema, for models that ignore tools"
    )
    price_as: str | None = Field(None, description="model name to look the price up by; None: `model`")
    input_usd_per_mtok: float | None = Field(None, ge=0, description="overrides the price list")
    output_usd_per_mtok: float | None = Field(None, ge=0)
    context_tokens: int | None = Field(None, ge=256, description="what the model takes, answer included; None: unknown")
    prompt_cache: PromptCache | None = Field(None, description="None: from the price list, else the strictest in use")

    @field_validator("added")
    @classmethod
    def _leaves_the_cap(cls, added: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(added.keys() & {*CAPS, "model", "messages", "stream", "stream_options"}):
            raise ValueError(f"may not name {', '.join(taken)}: a call says that itself")
        return added

    @field_validator("dropped")
    @classmethod
    def _keeps_the_cap(cls, dropped: frozenset[str]) -> frozenset[str]:
        if taken := sorted(dropped & {*CAPS, "tools"}):
            raise ValueError(f"may not name {', '.join(taken)}: set `preset` or `renamed` instead")
        return dropped


class Models(Section):
    """Tiers to endpoints. An absent tier falls back to `standard`; with none at all the embedded model serves."""

    tiers: dict[Tier, Endpoint] = Field(default_factory=dict)
    embedded: bool = Field(True, description="start the embedded SmolLM2 where no tier is configured")
    embedded_threads: int = Field(2, ge=1)
    embedded_context: int = Field(8192, ge=512, description="tokens shared by all slots")
    embedded_slots: int = Field(4, ge=1)


REDIS_SCHEMES = ("redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://")


class CacheSettings(Section):
    """Redis, for what replicas share and can do without. `dsn` empty: each replica keeps its own."""

    dsn: SecretStr = Field(
        SecretStr(""),
        description="redis://USER:PASSWORD@HOST:PORT, rediss:// with TLS; redis+cluster://HOST:PORT,HOST:PORT",
    )
    cluster: bool = Field(False, description="the DSN is of one of a cluster's servers")
    ca_file: Path | None = Field(
        None, description="who signed the server's certificate; None: the system's authorities"
    )
    certificate_file: Path | None = Field(None, description="ours, for a server that asks for one")
    key_file: Path | None = Field(None, description="of our certificate, when it is in a file of its own")
    answer_s: float = Field(0.25, gt=0, description="a slower answer is done without")
    max_connections: int = Field(8, ge=1, le=1024, description="of one process, to each server")
    failures: int = Field(3, ge=1, description="in a row, after which a server is left alone")
    rest_s: float = Field(1.0, ge=0, description="how long; then it is tried again")

    @field_validator("dsn")
    @classmethod
    def _is_an_address(cls, dsn: SecretStr) -> SecretStr:
        shown = dsn.get_secret_value()
        if shown and not shown.startswith(REDIS_SCHEMES):
            raise ValueError(f"begins with one of {', '.join(REDIS_SCHEMES)}")
        return dsn


class VortexSettings(Section):
    """How an agent's turn shortens what goes to the model."""

    enabled: bool = Field(True, description="a manifest or a request may say otherwise")
    reduction: float = Field(0.85, ge=0, lt=1, description="share of a content's tokens to leave out, where it is safe")
    min_tokens: int = Field(400, ge=0, description="shorter contents are left as they are")
    timeout_s: float = Field(5.0, gt=0, description="a slower answer is done without")
    look_ups: float = Field(1.0, ge=0, description="look-ups of what was left out that a saving has to pay for")


class AnswerSettings(Section):
    """The answer cache: an earlier answer of the same agent for the same question, or one that asks the same."""

    enabled: bool = Field(False, description="start the cache; tenants opt in by name")
    tenants: tuple[str, ...] = Field(
        (), description="whose questions are looked up and whose answers are kept; * for all"
    )
    agents: tuple[str, ...] = Field(
        ("*",), description="manifests or pools it is for, by what a request names; * for all"
    )
    url: str = Field("", description="of a Qdrant server; empty: embedded, in one process")
    api_key: SecretStr = SecretStr("")
    ca_file: Path | None = Field(None, description="who signed that server's certificate; None: the usual authorities")
    threshold: float = Field(0.8, ge=0, le=1, description="least cosine of another question; 1: only the same question")
    likelihood: float = Field(
        0.8, ge=0, le=1, description="least likelihood, by the second check, that it asks the same"
    )
    lifetime_s: float = Field(86_400, gt=0, description="an older answer is not served")
    max_entries_per_tenant: int = Field(10_000, ge=1, description="the oldest give way")
    max_answer_chars: int = Field(65_536, ge=1, description="a longer answer is not kept")
    max_temperature: float = Field(1.0, ge=0, description="answers asked for at more than this are meant to vary")
    deadline_s: float = Field(0.05, gt=0, description="a look-up that takes longer is a miss")

    def take(self, tenant: str, agent: str) -> bool:
        """Whether this tenant and agent opted in."""
        return self.enabled and _names(self.tenants, tenant) and _names(self.agents, agent)


class MemorySettings(Section):
    """The memory: hot in the shared cache (`CacheSettings`), warm in Qdrant, cold in an object storage."""

    enabled: bool = Field(True, description="start it with the gateway")
    qdrant_url: str = Field("", description="of a Qdrant server; empty: embedded, in one process")
    qdrant_key: SecretStr = SecretStr("")
    qdrant_ca_file: Path | None = Field(
        None, description="who signed that server's certificate; None: the usual authorities"
    )
    objects_url: str = Field("", description="s3://BUCKET/PREFIX, gs://, az://; empty: a folder in the home")
    objects_options: dict[str, str] = Field(
        default_factory=dict, description="of the object storage, such as endpoint and region; keys by its environment"
    )
    policy: PlacementPolicy = Field(default_factory=PlacementPolicy, description="placement and retention by kind")
    sweep_s: float = Field(30.0, gt=0, description="between two rounds of moving, expiring and tidying")
    replicas: int = Field(1, ge=1, description="more than one needs both URLs")

    @property
    def shared(self) -> bool:
        """Whether several processes on several machines may serve it."""
        return bool(self.qdrant_url and self.objects_url)


class BackupSettings(Section):
    """Backups of PostgreSQL and of cold memories. `ossa backup now` needs none of it."""

    enabled: bool = Field(False, description="while the fleet runs, make one every `every_hours` and archive the WAL")
    url: str = Field("", description="a folder, s3://BUCKET/PREFIX, gs://, az://; empty: the home's folder `backups`")
    options: dict[str, str] = Field(
        default_factory=dict, description="of that storage, such as endpoint and region; keys by its environment"
    )
    keep_days: float = Field(30, gt=0, description="any time within can be restored to; the last good one stays anyway")
    every_hours: float = Field(24, gt=0, description="between two backups")
    wal_every_s: float = Field(60, ge=1, description="what is committed is in the archive so soon")
    dsn: SecretStr = Field(
        SecretStr(""), description="of a role that may replicate, for a server of yours; empty: that of `database`"
    )
    programs: str = Field(
        "", description="folder of PostgreSQL's programs, for a server of yours; empty: Debian's newest"
    )


class EventSettings(Section):
    """Facts: what has happened. They are always kept in PostgreSQL; with servers or the mock they go to Kafka too."""

    retention_days: float = Field(
        14.0, gt=0, description="facts stay so long; the longer one of this and outbox_days counts"
    )
    enabled: bool = Field(True, description="false: export nothing, whatever else is set")
    bootstrap_servers: str = Field("", description="of a Kafka: HOST:PORT,HOST:PORT")
    mock: bool = Field(
        False, description="without servers: a broker in the publishing process, for trying out; it keeps nothing"
    )
    topic: str = Field("ossa.events", pattern=TOPIC_PATTERN)
    dead_topic: str = Field("ossa.events.dead", pattern=TOPIC_PATTERN, description="for what a consumer cannot handle")
    partitions: int = Field(50, ge=1, le=10_000, description="of the topic; more later on moves tasks, once")
    replication: int = Field(3, ge=1, le=20, description="copies of each partition")
    min_insync: int = Field(2, ge=1, le=20, description="copies written before an event counts as published")
    create_topics: bool = Field(False, description="make missing topics; else they are only checked")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_user: str = ""
    sasl_password: SecretStr = SecretStr("")
    ca_file: str = Field("", description="certificates that sign the brokers'; empty: the system's")
    certificate_file: str = Field("", description="ours, for brokers that ask for one")
    key_file: str = Field("", description="of our certificate, when it is in a file of its own")
    source: str = Field("/ossa", min_length=1, description="CloudEvents' source: names this fleet on a shared Kafka")
    groups: tuple[str, ...] = Field((), description="consumer groups of Kafka whose lag is measured")
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = Field(
        "none", description="of batches, which are small: half the bytes, for CPU on both sides and delay"
    )
    publish_timeout_s: float = Field(15.0, gt=0, description="a batch unanswered for so long is published again")
    outbox_days: float = Field(7.0, gt=0, description="an event that could not be exported for so long is given up")
    processed_days: float = Field(7.0, gt=0, description="an event that comes again is known for so long")

    @property
    def emits_events(self) -> bool:
        """Whether facts are exported."""
        return self.enabled and (self.mock or bool(self.bootstrap_servers))

    @property
    def mocked(self) -> bool:
        return self.enabled and self.mock

    @model_validator(mode="after")
    def _fit(self) -> EventSettings:
        if self.mock and self.bootstrap_servers:
            raise ValueError("mock and bootstrap_servers exclude each other: unset one")
        if self.min_insync > self.replication:
            raise ValueError(f"min_insync ({self.min_insync}) is more than replication ({self.replication})")
        if self.dead_topic == self.topic:
            raise ValueError("dead_topic and topic must not be the same")
        if self.security_protocol.startswith("SASL") != bool(self.sasl_user):
            raise ValueError("sasl_user goes with a security_protocol of SASL_PLAINTEXT or SASL_SSL, and only with one")
        if self.key_file and not self.certificate_file:
            raise ValueError("key_file goes with a certificate_file")
        if self.certificate_file and not self.security_protocol.endswith("SSL"):
            raise ValueError("certificate_file goes with a security_protocol of SSL or SASL_SSL")
        return self


class FleetSettings(Section):
    namespace: str = Field("ossa", description="Ray namespace of every actor of the fleet")
    cpus_per_agent: float = Field(0.38, gt=0)
    memory_per_agent_mib: int = Field(0, ge=0, description="0: not reserved")
    block_agents: int = Field(4, ge=1, le=64, description="agents in one placement group")
    standby: int = Field(1, ge=0, le=256, description="started agents without a manifest")
    slots_per_agent: int = Field(4, ge=1, description="turns at once where the manifest sets none")
    start_timeout_s: float = Field(180, gt=0)
    start_parallelism: int = Field(8, ge=1, description="agents started at once")
    drain_timeout_s: float = Field(60, gt=0)
    reconcile_interval_s: float = Field(2.0, gt=0)
    tool_modules: tuple[str, ...] = Field((), description="extra importable modules whose `TOOLS` join the allow-list")
    agent_hooks: tuple[str, ...] = Field(
        (), description="`module:NAME` of hooks round agents' model and tool calls, the outermost first"
    )


class ScalingSettings(Section):
    """`rules.block_agents` and `rules.standby` are those of the fleet's settings, whatever is said here."""

    mode: ScalingMode = Field("dry-run", description="off; dry-run: decide and show, change nothing; on")
    forecast: bool = Field(True, description="without it rules alone decide")
    rules: ScaleRules = ScaleRules()
    start_up: StartUp = StartUp()
    request_nodes: bool = Field(True, description="tell Ray's autoscaler what the fleet needs, where mode is on")
    keep_days: float = Field(30, gt=0, description="samples and decisions are kept so long")


class GatewaySettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    replicas: int = Field(1, ge=1)
    vortex_replicas: int = Field(1, ge=1, description="of the compression service")
    router_replicas: int = Field(
        0, ge=0, description="of the deployment `router`, for other Ray programs; the gateway decides by itself"
    )
    haproxy: bool = Field(True, description="Serve's HAProxy mode, where the wheel carries it")
    max_body_bytes: int = Field(4 * 2**20, ge=1024)
    max_messages: int = Field(2048, ge=1)
    max_inflight: int = Field(256, ge=1, description="synchronous requests in one replica")
    max_queued_tasks: int = Field(10_000, ge=1, description="open asynchronous tasks a tenant")
    max_agents_per_tenant: int = Field(20, ge=0, description="agents of one's own that a tenant may have at a time")
    lease_ttl_s: float = Field(6, gt=0)
    lease_renew_s: float = Field(1.5, gt=0)
    claim_interval_s: float = Field(0.5, gt=0)
    busy_wait_s: float = Field(2.0, ge=0, description="how long a synchronous request waits for a free agent")
    max_attempts: int = Field(20, ge=1, description="owners or agents a task may lose before it fails")
    key_cache_s: float = Field(
        2.0, ge=0, description="how long a checked key is believed; a revocation is felt after it"
    )
    default_timeout_s: float = Field(300, gt=0)
    first_byte_s: float = Field(
        5.0,
        gt=0,
        description="after which a stream begins, so that nobody takes a slow model's silence for a dead peer",
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="origins of browsers' pages that may call, such as https://app.example; * for all; none: off"
    )
    approve: tuple[Literal["tier", "idle"], ...] = Field(
        (), description="kinds of the optimiser's proposals that are applied without asking"
    )
    agent_month_usd: float | None = Field(None, ge=0, description="of the machine under one agent; None: not known")

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#\s]+", origin):
                raise ValueError(f"{origin!r} is no origin; write scheme://host or scheme://host:port, without a path")
        return origins


def _names(listed: tuple[str, ...], name: str) -> bool:
    return "*" in listed or name in listed
