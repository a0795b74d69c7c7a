"""A cluster's plan: an autoscaler configuration in Ray's own form, read and checked before Ray sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator

from ossa.contracts.errors import InvalidRequest
from ossa.contracts.value import Value

LISTS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
)
"""Ray fills these in only for its own providers, and fails without them."""


class WrongPlan(InvalidRequest):
    """A plan or an option cannot be used; nothing was started."""

    code, title = "wrong_usage", "Wrong cluster plan"


class NodeType(Value):
    """`resources` are logical CPUs, bytes of memory and of object store, and others by name."""

    resources: dict[str, int]
    node_config: dict[str, Any] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    min_workers: int = Field(0, ge=0)
    max_workers: int = Field(0, ge=0)


class ProviderPlan(Value):
    """`starts_at_once` limits raylets that start at the same time. Other keys are the provider's own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: Literal["external"]
    module: str
    disable_node_updaters: Literal[True]
    starts_at_once: int = Field(2, ge=1)


class ClusterPlan(Value):
    """One head and one type of worker. Fields are those of Ray's `ray-schema.json`."""

    cluster_name: str
    max_workers: int = Field(ge=1)
    upscaling_speed: float = Field(1.0, ge=0)
    idle_timeout_minutes: float = Field(5.0, ge=0)
    provider: ProviderPlan
    head_node_type: str
    available_node_types: dict[str, NodeType]

    @model_validator(mode="after")
    def _adds_up(self) -> ClusterPlan:
        if self.head_node_type not in self.available_node_types or len(self.available_node_types) != 2:
            raise ValueError("available_node_types has to name the head_node_type and one type of worker")
        if self.head.resources.get("CPU") != 0:
            raise ValueError("the head takes no work: its resources have to say CPU: 0")
        if not self.worker.min_workers <= self.worker.max_workers <= self.max_workers:
            raise ValueError("min_workers may not pass max_workers, nor those of the type those of the cluster")
        return self

    @property
    def head(self) -> NodeType:
        return self.available_node_types[self.head_node_type]

    @property
    def worker_type(self) -> str:
        return next(name for name in self.available_node_types if name != self.head_node_type)

    @property
    def worker(self) -> NodeType:
        return self.available_node_types[self.worker_type]

    def bounded(
        self, *, least: int | None = None, most: int | None = None, idle_timeout_s: float | None = None
    ) -> ClusterPlan:
        """Returns the plan with other bounds. Raises `WrongPlan` for impossible ones."""
        most = self.worker.max_workers if most is None else most
        least = min(self.worker.min_workers, most) if least is None else least
        if not 0 <= least <= most or most < 1:
            raise WrongPlan(f"between {least} and {most} nodes there is no number to choose")
        worker = self.worker.model_copy(update={"min_workers": least, "max_workers": most})
        idle = self.idle_timeout_minutes if idle_timeout_s is None else idle_timeout_s / 60
        types = {**self.available_node_types, self.worker_type: worker}
        return self.model_copy(
            update={"max_workers": most, "idle_timeout_minutes": idle, "available_node_types": types}
        )

    def for_ray(self, **provider: Any) -> dict[str, Any]:
        """Returns the document for Ray's autoscaler, with additional settings for the provider."""
        document = self.model_dump(mode="json")
        document["provider"] |= provider
        return {**document, **{name: [] for name in LISTS}, "file_mounts": {}}


def read_plan(path: Path) -> ClusterPlan:
    """Reads a plan. Raises `WrongPlan` that names the file and the field."""
    try:
        return ClusterPlan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise WrongPlan(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WrongPlan(f"{path} is no YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise WrongPlan(f"{path}: {where + ': ' if where else ''}{first['msg']}", param=where or None) from error
