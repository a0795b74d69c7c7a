"""Controller and gateway on the Ray cluster this process is connected to. Blocking."""

from __future__ import annotations

import hashlib
import logging

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.config import ProxyLocation as Location
from ray.serve.context import _get_global_client

from ossa.agent import RunnerFactory
from ossa.app.answers import AnswersFactory
from ossa.app.backup_actor import start_backups, stop_backups
from ossa.app.connections import shared
from ossa.app.extensions import check_imports, installed_agent_hooks
from ossa.app.factories import CompressionFactory, GatewayFactory, StoresFactory
from ossa.app.memory import MemoryFactory, check_memory
from ossa.app.services import Backing
from ossa.contracts.configuration import Models
from ossa.contracts.errors import Conflict, NotReady
from ossa.fleet import ControllerConfig, start_controller, stop_fleet
from ossa.fleet.status_reader import FleetStatusReader
from ossa.gateway.deployment import gateway_application
from ossa.gateway.router_deployment import application_name, router_application
from ossa.gateway.sidecar import ANSWERS, MEMORY, VORTEX
from ossa.manifest import catalogue
from ossa.models.tiers import tier_infos
from ossa.settings import Settings

log = logging.getLogger(__name__)

CONTROLLER_TIMEOUT_S = 90.0


def deploy(settings: Settings, backing: Backing, *, fleet_id: str, host: str, port: int) -> None:
    """Found the fleet (or find it), then run the gateway. Returns when the gateway answers.

    Raises `NotReady`; `Conflict` when embedded stores would have to serve several machines, or when another fleet has
    the name; `InvalidRequest` when PostgreSQL's connections do not suffice for so many processes, or when a hook, tool
    module or extension cannot be imported.
    """
    check_imports(settings.fleet)
    _check_reach(backing, settings)
    database = shared(settings, embedded="postgres" in backing.embedded)
    stores = StoresFactory(database, backing.dsn, settings.events)
    start_controller(
        ControllerConfig(
            settings=settings.fleet,
            runner_factory=RunnerFactory(
                backing.models,
                tool_modules=settings.fleet.tool_modules,
                agent_hooks=(*settings.fleet.agent_hooks, *installed_agent_hooks()),
                default_timeout_s=settings.gateway.default_timeout_s,
                fleet_status=FleetStatusReader(settings.fleet.namespace),
                vortex=settings.vortex,
            ),
            stores_factory=stores,
            catalogue=catalogue(),
            fleet_id=fleet_id,
            scaling=settings.scaling,
            predictor_stores=stores,
        ),
        timeout_s=CONTROLLER_TIMEOUT_S,
    )
    start_backups(settings, backing)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # what Serve remarks on its way is not for the terminal
    location = Location.HeadOnly if len(_addresses()) == 1 else Location.EveryNode
    serve.start(proxy_location=location, http_options=HTTPOptions(host=host, port=port))
    name = settings.fleet.namespace
    make_gateway = GatewayFactory(
        settings.gateway,
        stores,
        name,
        cache=settings.cache,
        answers=settings.answers,
        models=_digest(backing.models),
        tiers=tier_infos(backing.models),
    )
    app = gateway_application(settings.gateway, make_gateway, _sidecars(settings, stores))
    try:
        serve.run(app, name=name, route_prefix="/")
        if settings.gateway.router_replicas:
            router = router_application(make_gateway, replicas=settings.gateway.router_replicas)
            serve.run(router, name=application_name(name), route_prefix=None)
    except RuntimeError as error:
        raise NotReady(f"the gateway did not come up on Serve: {error}") from error


def _sidecars(settings: Settings, stores: StoresFactory) -> dict[str, serve.Application]:
    """Returns the side-cars by name; only those that the settings enable."""
    replicas = settings.gateway.vortex_replicas
    sidecars = {VORTEX.name: VORTEX.application(CompressionFactory(stores), replicas=replicas)}
    if settings.answers.enabled:
        sidecars[ANSWERS.name] = ANSWERS.application(AnswersFactory(settings.answers, settings.home_dir))
    memory = _memory(settings, stores)
    if memory is not None:
        sidecars[MEMORY.name] = MEMORY.application(memory, replicas=settings.memory.replicas)
    return sidecars


def _memory(settings: Settings, stores: StoresFactory) -> MemoryFactory | None:
    """None where it is off, or where its folder would be on one machine of several."""
    if not settings.memory.enabled:
        return None
    check_memory(settings.memory)
    if len(_addresses()) > 1 and not settings.memory.shared:
        log.warning("memory_not_started", extra={"set": "OSSA_MEMORY__QDRANT_URL and OSSA_MEMORY__OBJECTS_URL"})
        return None
    return MemoryFactory(settings.memory, settings.cache, stores, settings.home_dir)


def _digest(models: Models) -> str:
    """Returns a digest of what stands behind the tiers, without keys."""
    endpoints = {tier: (one.base_url, one.model) for tier, one in sorted(models.tiers.items())}
    return hashlib.sha256(repr(endpoints).encode()).hexdigest()[:16]


def undeploy(settings: Settings, *, end_serve: bool) -> None:
    """End the gateway, then drain and end the fleet. What is desired and journaled stays in the stores.

    Args:
        end_serve: end Serve too, unless others have applications on it by now.
    """
    serving = serve_address() is not None  # a start that was interrupted may not have come that far
    if serving:
        for name in (application_name(settings.fleet.namespace), settings.fleet.namespace):
            if name in serve.status().applications:
                serve.delete(name)
    stop_fleet(settings.fleet.namespace)
    stop_backups(settings.fleet.namespace)
    if serving and end_serve and not serve.status().applications:
        serve.shutdown()  # type: ignore[no-untyped-call]


def serve_address() -> tuple[str, int] | None:
    """Where Serve listens on this cluster already; None when it does not run.

    A cluster has one Serve with one HTTP address, fixed by whoever started it. Ray tells it by no public call.
    """
    client = _get_global_client(raise_if_no_controller_running=False)
    if client is None:
        return None
    options = client.http_config
    return options.host or "127.0.0.1", options.port


def reachable(host: str) -> str:
    """The name under which a client on this machine finds what listens there."""
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound


def _check_reach(backing: Backing, settings: Settings) -> None:
    addresses = _addresses()
    if settings.answers.enabled and not settings.answers.url and len(addresses) > 1:
        raise Conflict(
            f"the embedded index of answers is in a folder of one machine, and this cluster has {len(addresses)}: set "
            "OSSA_ANSWERS__URL to a Qdrant server that all nodes reach",
            param="answers.url",
        )
    if backing.embedded and len(addresses) > 1:
        raise Conflict(
            f"the embedded {' and '.join(backing.embedded)} serve one machine, and this cluster has {len(addresses)}: "
            "set OSSA_DATABASE__DSN and OSSA_MODELS__TIERS to servers that all nodes reach",
            param="database.dsn",
        )


def _addresses() -> set[str]:
    return {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
