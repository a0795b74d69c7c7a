"""What stands in cluster/kuberay: KubeRay takes it, it adds up, it keeps secrets, and it is of ray-local's shape."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from pydantic import BaseModel, SecretStr
from ray import serve

from ossa.app.services import Services
from ossa.app.sizing import AGENT_MIB, RESERVED_MIB
from ossa.cli.up import DEPLOY_TIMEOUT_S
from ossa.contracts.configuration import FleetSettings
from ossa.contracts.fleet import POOL_WEIGHTS, POOLS
from ossa.fleet.operations import ratio
from ossa.fleet.placement import MIB, block_bundle, blocks_wanted
from ossa.gateway.deployment import gateway_application
from ossa.gateway.router_deployment import router_application
from ossa.gateway.sidecar import SIDECARS
from ossa.models.tiers import needs_embedded
from ossa.nodes.plan import read_plan
from ossa.settings import DELIMITER, PREFIX, Settings
from tests.unit.cluster.custom_resources import CustomResources

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "cluster" / "kuberay"
CRDS = Path(os.environ.get("OSSA_KUBERAY_CRDS", ROOT / "../shared/kuberay/crds"))
MISSION_CORES, MISSION_AGENTS, MISSION_NODES, MISSION_NODE_GIB = 96, 250, 12, 16
SUFFIXES = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
EXAMPLE = "secret.example.yaml"


def amount(quantity: object) -> float:
    """Kubernetes' quantity as a number: CPUs, bytes."""
    found = re.fullmatch(r"([0-9.]+)(m|Ki|Mi|Gi|)", str(quantity))
    assert found, f"{quantity!r} is no quantity that stands here"
    return float(found[1]) * SUFFIXES[found[2]]


def read(name: str) -> dict[str, Any]:
    """One document, without what YAML's anchors share: tests change it."""
    document: dict[str, Any] = json.loads(json.dumps(yaml.safe_load((FOLDER / name).read_text())))
    return document


@pytest.fixture
def cluster() -> dict[str, Any]:
    return read("raycluster.yaml")


@pytest.fixture
def job() -> dict[str, Any]:
    return read("rayjob.yaml")


@pytest.fixture(scope="session")
def crds() -> CustomResources:
    if not CRDS.is_dir():
        pytest.skip(f"KubeRay's definitions are not at {CRDS}: OSSA_KUBERAY_CRDS names their folder")
    return CustomResources(CRDS)


@pytest.fixture
def settings(cluster: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """As the product reads what the manifest sets, with the example's secrets."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    secrets = read(EXAMPLE)["stringData"]
    for one in head_of(cluster)["env"]:
        monkeypatch.setenv(one["name"], one.get("value") or secrets[one["valueFrom"]["secretKeyRef"]["key"]])
    return Settings()


def worker_group(cluster: dict[str, Any]) -> dict[str, Any]:
    (group,) = cluster["spec"]["workerGroupSpecs"]
    return typing.cast("dict[str, Any]", group)


def pod_specs(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [group["template"]["spec"] for group in (cluster["spec"]["headGroupSpec"], worker_group(cluster))]


def head_of(cluster: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_specs(cluster)[0]["containers"]
    return typing.cast("dict[str, Any]", container)


def worker_of(cluster: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_specs(cluster)[1]["containers"]
    return typing.cast("dict[str, Any]", container)


def blocks_a_node(cluster: dict[str, Any], fleet: FleetSettings) -> int:
    """Blocks that Ray puts on one worker, by what the product reserves for one."""
    limits = worker_of(cluster)["resources"]["limits"]
    has = {"CPU": amount(limits["cpu"]), "memory": amount(limits["memory"])}
    return min(int(has[name] / size + 1e-9) for name, size in block_bundle(fleet.block_agents, fleet).items())


def blocks_needed(pools: dict[str, int], fleet: FleetSettings) -> int:
    return sum(blocks_wanted(pools, fleet.standby, fleet.block_agents, {}, {}).values())


# KubeRay takes it.


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_kuberay_takes_every_field(name: str, crds: CustomResources) -> None:
    assert crds.errors(read(name)) == []


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_no_rule_that_is_not_run_here_applies(name: str, crds: CustomResources) -> None:
    """CEL is not run: a rule that a new field brings in is to be looked at, then listed here."""
    assert crds.rules(read(name)) == []


def _misspelt(cluster: dict[str, Any]) -> None:
    cluster["spec"]["autoscalerOptions"]["idleTimeoutSecond"] = 60


def _misspelt_deep(cluster: dict[str, Any]) -> None:
    worker_of(cluster)["securityContext"]["allowPrivilegeEscalations"] = False


def _unknown_at_the_top(cluster: dict[str, Any]) -> None:
    cluster["metadata"]["label"] = {}


def _wrong_type(cluster: dict[str, Any]) -> None:
    worker_group(cluster)["maxReplicas"] = "12"


def _wrong_type_in_a_map(cluster: dict[str, Any]) -> None:
    cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def _not_of_the_list(cluster: dict[str, Any]) -> None:
    cluster["spec"]["autoscalerOptions"]["version"] = "v3"


def _no_quantity(cluster: dict[str, Any]) -> None:
    worker_of(cluster)["resources"]["limits"]["memory"] = "16 GiB"


def _too_large(cluster: dict[str, Any]) -> None:
    cluster["spec"]["autoscalerOptions"]["idleTimeoutSeconds"] = 2**40


def _required_is_missing(cluster: dict[str, Any]) -> None:
    del worker_group(cluster)["template"]


def _name_is_missing(cluster: dict[str, Any]) -> None:
    del worker_of(cluster)["name"]


def _twice(cluster: dict[str, Any]) -> None:
    head_of(cluster)["env"].append({"name": "OSSA_HOME", "value": "/elsewhere"})


BREAKS = [
    _misspelt,
    _misspelt_deep,
    _unknown_at_the_top,
    _wrong_type,
    _wrong_type_in_a_map,
    _not_of_the_list,
    _no_quantity,
    _too_large,
    _required_is_missing,
    _name_is_missing,
    _twice,
]


@pytest.mark.parametrize("spoil", BREAKS, ids=lambda spoil: spoil.__name__.strip("_"))
def test_one_mistake_is_refused(
    spoil: Callable[[dict[str, Any]], None], cluster: dict[str, Any], crds: CustomResources
) -> None:
    spoil(cluster)
    assert len(crds.errors(cluster)) == 1


def test_a_rule_that_applies_is_named(job: dict[str, Any], crds: CustomResources) -> None:
    job["spec"]["managedBy"] = "ray.io/kuberay-operator"
    assert any(rule.startswith(".spec.managedBy: ") for rule in crds.rules(job))


def test_what_the_operator_itself_refuses_is_not_there(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    """Its own checks, which no schema has: autoscaler v2 restarts no pods, and Redis is said in one place."""
    assert {spec["restartPolicy"] for spec in pod_specs(cluster)} == {"Never"}
    names = {one["name"] for spec in pod_specs(cluster) for one in spec["containers"][0].get("env", ())}
    assert not names & {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME", "RAY_enable_autoscaler_v2"}
    assert not {"redis-password", "labels"} & set(cluster["spec"]["headGroupSpec"]["rayStartParams"])
    assert not any(probe in head_of(cluster) | worker_of(cluster) for probe in ("livenessProbe", "readinessProbe"))
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    assert "rayClusterSpec" not in job["spec"] and not job["spec"]["shutdownAfterJobFinishes"]


# It adds up.


def test_the_workers_are_the_missions_nodes(cluster: dict[str, Any]) -> None:
    group, resources = worker_group(cluster), worker_of(cluster)["resources"]
    assert (group["minReplicas"], group["maxReplicas"]) == (1, MISSION_NODES)
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert group["maxReplicas"] * amount(resources["limits"]["cpu"]) == MISSION_CORES
    assert amount(resources["limits"]["memory"]) == MISSION_NODE_GIB * 2**30
    assert resources["requests"] == resources["limits"]


def test_ray_counts_what_the_pods_have(cluster: dict[str, Any]) -> None:
    """Said by nobody, CPUs and memory are the container's limits; the head says that it has no CPU."""
    assert cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert not {"num-cpus", "memory", "resources"} & set(worker_group(cluster)["rayStartParams"])


def test_250_agents_fit(cluster: dict[str, Any], settings: Settings) -> None:
    has = MISSION_NODES * blocks_a_node(cluster, settings.fleet)
    assert blocks_needed(ratio(MISSION_AGENTS, POOL_WEIGHTS), settings.fleet) <= has


def test_250_agents_fit_on_the_nodes_that_are_left_when_one_is_lost(
    cluster: dict[str, Any], settings: Settings
) -> None:
    has = (MISSION_NODES - 1) * blocks_a_node(cluster, settings.fleet)
    assert blocks_needed(ratio(MISSION_AGENTS, POOL_WEIGHTS), settings.fleet) <= has


def test_250_agents_fit_however_the_pools_share_them(cluster: dict[str, Any], settings: Settings) -> None:
    """A pool's last block may be nearly empty: every remainder of every pool."""
    fleet, has = settings.fleet, MISSION_NODES * blocks_a_node(cluster, settings.fleet)
    others = len(POOLS) - 1
    for remainders in itertools.product(range(fleet.block_agents), repeat=others):
        sizes = [MISSION_AGENTS // len(POOLS) + remainder for remainder in remainders]
        pools = dict(zip(POOLS, [*sizes, MISSION_AGENTS - sum(sizes)], strict=True))
        assert blocks_needed(pools, fleet) <= has, pools


def test_the_products_own_defaults_would_not_fit(cluster: dict[str, Any]) -> None:
    """Why the manifest sets them: 96 cores are 250 times 0.38, but a block is never spread over two nodes."""
    fleet = FleetSettings()
    assert MISSION_AGENTS * fleet.cpus_per_agent <= MISSION_CORES
    assert blocks_needed(ratio(MISSION_AGENTS, POOL_WEIGHTS), fleet) > MISSION_NODES * blocks_a_node(cluster, fleet)


def test_a_nodes_memory_holds_its_agents_its_object_store_and_what_ray_and_serve_take(
    cluster: dict[str, Any], settings: Settings
) -> None:
    fleet = settings.fleet
    agents = blocks_a_node(cluster, fleet) * block_bundle(fleet.block_agents, fleet)["memory"]
    store = int(worker_group(cluster)["rayStartParams"]["object-store-memory"])
    assert fleet.memory_per_agent_mib >= AGENT_MIB
    assert agents + store + RESERVED_MIB * MIB <= amount(worker_of(cluster)["resources"]["limits"]["memory"])


def test_the_object_store_has_its_room_in_shared_memory(cluster: dict[str, Any]) -> None:
    groups = cluster["spec"]["headGroupSpec"], worker_group(cluster)
    for group, spec in zip(groups, pod_specs(cluster), strict=True):
        mounted = {one["mountPath"]: one["name"] for one in spec["containers"][0]["volumeMounts"]}
        volumes = {one["name"]: one["emptyDir"] for one in spec["volumes"]}
        shared = volumes[mounted["/dev/shm"]]
        assert set(mounted.values()) == set(volumes)
        assert shared["medium"] == "Memory"
        assert int(group["rayStartParams"]["object-store-memory"]) < amount(shared["sizeLimit"])


def test_the_scaler_knows_how_many_agents_a_node_holds(cluster: dict[str, Any], settings: Settings) -> None:
    fleet, scaling = settings.fleet, settings.scaling
    assert scaling.start_up.agents_per_node == blocks_a_node(cluster, fleet) * fleet.block_agents
    assert scaling.rules.fleet_ceiling == MISSION_AGENTS
    assert (scaling.mode, scaling.request_nodes) == ("on", True)


def test_serve_takes_none_of_the_agents_cpus(settings: Settings) -> None:
    def nothing() -> Any:
        raise AssertionError("it is only described here")

    sidecars = {kind.name: kind.application(nothing) for kind in SIDECARS}
    gateway = gateway_application(settings.gateway, nothing, sidecars)
    router = router_application(nothing, replicas=1)
    reserved = {one.name: one.ray_actor_options["num_cpus"] for app in (gateway, router) for one in deployments(app)}
    assert len(reserved) == 5
    assert set(reserved.values()) == {0}


def deployments(app: serve.Application) -> Iterator[serve.Deployment]:
    """It and what it is bound to. Ray tells it by no public name."""
    bound = app._bound_deployment
    yield bound
    for argument in bound.init_args:
        for nested in argument.values() if isinstance(argument, dict) else (argument,):
            if isinstance(nested, serve.Application):
                yield from deployments(nested)


def test_it_is_the_shape_of_the_cluster_on_one_machine(cluster: dict[str, Any]) -> None:
    plan, group, spec = read_plan(ROOT / "cluster" / "ray-local.yaml"), worker_group(cluster), cluster["spec"]
    limits = worker_of(cluster)["resources"]["limits"]
    assert (plan.worker.min_workers, plan.worker.max_workers) == (group["minReplicas"], group["maxReplicas"])
    assert plan.max_workers == group["maxReplicas"]
    assert plan.worker.resources["CPU"] == amount(limits["cpu"])
    assert plan.worker.resources["memory"] == amount(limits["memory"])
    assert str(plan.head.resources["CPU"]) == spec["headGroupSpec"]["rayStartParams"]["num-cpus"]
    assert plan.idle_timeout_minutes * 60 == spec["autoscalerOptions"]["idleTimeoutSeconds"]
    assert plan.upscaling_speed >= plan.max_workers and spec["autoscalerOptions"]["upscalingMode"] == "Default"
    assert spec["enableInTreeAutoscaling"] is True and spec["autoscalerOptions"]["version"] == "v2"


# The product reads it.


def setting(name: str) -> Any:
    """The type of what a variable sets. Raises `KeyError` for a name that the product does not know."""
    found: Any = Settings
    for part in name.removeprefix(PREFIX).lower().split(DELIMITER):
        if isinstance(found, type) and issubclass(found, BaseModel):
            found = found.model_fields[part].annotation
        else:
            key, found = typing.get_args(found)
            assert part in typing.get_args(key)
    return found


def test_every_variable_is_a_setting_and_every_secret_one_comes_from_the_secret(cluster: dict[str, Any]) -> None:
    secrets = read(EXAMPLE)
    for one in head_of(cluster)["env"]:
        if setting(one["name"]) is SecretStr:
            reference = one["valueFrom"]["secretKeyRef"]
            assert reference["name"] == secrets["metadata"]["name"]
            assert reference["key"] in secrets["stringData"]
        else:
            assert set(one) == {"name", "value"}


def test_nothing_embedded_is_started(settings: Settings) -> None:
    assert settings.database.dsn.get_secret_value() == read(EXAMPLE)["stringData"]["database-dsn"]
    assert set(settings.models.tiers) == {"standard"}
    assert not needs_embedded(settings.models)
    services = Services(settings)
    assert services.postgres is None and services.model is None


def test_the_gateway_is_reached_where_it_listens(cluster: dict[str, Any], settings: Settings) -> None:
    ports = {one["name"]: one["containerPort"] for one in head_of(cluster)["ports"]}
    service = read("gateway-service.yaml")["spec"]
    assert settings.gateway.host == "0.0.0.0"
    assert ports[service["ports"][0]["targetPort"]] == settings.gateway.port
    assert service["selector"] == {"ray.io/cluster": cluster["metadata"]["name"], "ray.io/node-type": "head"}


def test_the_job_gives_arguments_that_the_script_takes_and_waits_longer_than_it(
    job: dict[str, Any], cluster: dict[str, Any], settings: Settings
) -> None:
    python, script, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert python == "python"
    inside = re.search(r"^WORKDIR (.+)$", (FOLDER / "Dockerfile").read_text(), re.M)
    assert inside is not None
    spec = importlib.util.spec_from_file_location("deploy", ROOT / Path(script).relative_to(inside[1]))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    agents = module.parse(arguments).agents
    needed = blocks_needed(ratio(agents, POOL_WEIGHTS), settings.fleet)
    assert needed <= MISSION_NODES * blocks_a_node(cluster, settings.fleet)
    assert agents <= settings.scaling.rules.fleet_ceiling
    assert job["spec"]["activeDeadlineSeconds"] > DEPLOY_TIMEOUT_S


def test_ray_is_of_one_version_that_the_product_takes(cluster: dict[str, Any]) -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (ray,) = [one for one in map(Requirement, wanted) if one.name == "ray"]
    version = cluster["spec"]["rayVersion"]
    assert version in ray.specifier
    assert f"ARG RAY_VERSION={version}\n" in (FOLDER / "Dockerfile").read_text()


# It keeps secrets and takes no rights.


def test_no_container_has_rights_it_does_not_need(cluster: dict[str, Any]) -> None:
    contexts = [spec["containers"][0]["securityContext"] for spec in pod_specs(cluster)]
    for context in [*contexts, cluster["spec"]["autoscalerOptions"]["securityContext"]]:
        assert context["runAsNonRoot"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not context.get("privileged")


def test_no_pod_is_the_hosts_or_roots(cluster: dict[str, Any]) -> None:
    for spec in pod_specs(cluster):
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0 and context["fsGroup"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert all("emptyDir" in volume for volume in spec["volumes"])
        assert len(spec["containers"]) == 1 and "initContainers" not in spec
    assert pod_specs(cluster)[1]["automountServiceAccountToken"] is False


def test_agents_nodes_have_no_secret(cluster: dict[str, Any]) -> None:
    assert "secret" not in yaml.safe_dump(pod_specs(cluster)[1]).lower()


def test_ray_asks_for_a_token_and_redis_for_its_password(cluster: dict[str, Any]) -> None:
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    password = cluster["spec"]["gcsFaultToleranceOptions"]["redisPassword"]
    assert set(password) == {"valueFrom"}
    assert password["valueFrom"]["secretKeyRef"]["key"] in read(EXAMPLE)["stringData"]


def test_no_file_holds_a_secret() -> None:
    """The example is not applied, and has nothing but a word to be changed."""
    kustomization = read("kustomization.yaml")
    assert EXAMPLE not in kustomization["resources"]
    assert all("CHANGE-ME" in value for value in read(EXAMPLE)["stringData"].values())
    for file in FOLDER.glob("*.yaml"):
        if file.name != EXAMPLE:
            text = file.read_text()
            assert not re.search(r"://[^\s/]*:[^\s/]*@", text), file.name
            assert all(set(document or {}) & {"data", "stringData"} == set() for document in yaml.safe_load_all(text))


def test_the_budget_for_disruptions_is_one_that_works(cluster: dict[str, Any], crds: CustomResources) -> None:
    """Of a resource without a scale subresource the server takes a whole `minAvailable` alone."""
    versions = crds.definition("RayCluster")["spec"]["versions"]
    assert not any("scale" in version.get("subresources", {}) for version in versions)
    spec = read("disruption-budget.yaml")["spec"]
    assert set(spec) == {"minAvailable", "selector"} and spec["minAvailable"] == 1
    assert spec["selector"]["matchLabels"]["ray.io/node-type"] == "head"


def test_the_network_policy_lets_in_the_gateways_clients_and_not_the_clouds_metadata(
    cluster: dict[str, Any], settings: Settings
) -> None:
    spec = read("network-policy.yaml")["spec"]
    name = {"ray.io/cluster": cluster["metadata"]["name"]}
    assert spec["podSelector"]["matchLabels"] == name and set(spec["policyTypes"]) == {"Ingress", "Egress"}
    open_to_others = [rule for rule in spec["ingress"] if "ports" in rule]
    assert all(rule["from"] for rule in spec["ingress"])
    assert [rule["from"] for rule in spec["ingress"] if "ports" not in rule] == [
        [{"podSelector": {"matchLabels": name}}]
    ]
    ports = {port["port"] for rule in open_to_others for port in rule["ports"]}
    assert settings.gateway.port in ports and not ports & {6379, 10001}
    out = {port["port"] for rule in spec["egress"] for port in rule.get("ports", ())}
    assert {53, 443, 5432, 6379, 6443} == out


# kustomize makes one thing of it.


@pytest.fixture(scope="session")
def rendered() -> list[dict[str, Any]]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", str(FOLDER)], capture_output=True, text=True, timeout=60, check=True)
    return list(yaml.safe_load_all(done.stdout))


def test_kustomize_puts_everything_in_the_namespace_with_the_image_of_its_choice(
    rendered: list[dict[str, Any]],
) -> None:
    chosen = read("kustomization.yaml")
    (image,) = chosen["images"]
    assert set(images(rendered)) == {f"{image['newName']}:{image['newTag']}"}
    others = [document for document in rendered if document["kind"] != "Namespace"]
    assert {document["metadata"]["namespace"] for document in others} == {chosen["namespace"]}
    assert read("rayjob.yaml")["metadata"]["namespace"] == chosen["namespace"]
    assert read(EXAMPLE)["metadata"]["namespace"] == chosen["namespace"]


def test_kuberay_takes_what_kustomize_makes(rendered: list[dict[str, Any]], crds: CustomResources) -> None:
    (cluster,) = [document for document in rendered if document["kind"] == "RayCluster"]
    assert crds.errors(cluster) == []


def images(node: Any) -> Iterator[str]:
    """Of all that is called so, wherever it stands."""
    if isinstance(node, dict):
        for name, inner in node.items():
            if name == "image":
                yield inner
            yield from images(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from images(inner)
