"""Controller and gateway on the Ray cluster this process is connected to. Blocking."""

from __future__ import annotations

import logging

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.config import ProxyLocation as Location

from ossa.agent import RunnerFactory
from ossa.app.factories import GatewayFactory, StoresFactory
from ossa.app.services import Backing
from ossa.contracts.errors import Conflict, NotReady
from ossa.fleet import Charter, start_controller, stop_fleet
from ossa.fleet.status_reader import FleetStatusReader
from ossa.gateway.deployment import gateway_application
from ossa.manifest import catalogue
from ossa.settings import Settings

log = logging.getLogger(__name__)

SERVE_APP = "ossa"
CONTROLLER_TIMEOUT_S = 90.0


def deploy(settings: Settings, backing: Backing, *, host: str, port: int) -> None:
    """Found the fleet (or find it), then run the gateway. Returns when the gateway answers.

    Raises `NotReady`; `Conflict` when embedded stores would have to serve several machines.
    """
    _check_reach(backing)
    stores = StoresFactory(settings.database, backing.dsn)
    start_controller(
        Charter(
            settings=settings.fleet,
            runner_factory=RunnerFactory(
                backing.models,
                tool_modules=settings.fleet.tool_modules,
                default_timeout_s=settings.gateway.default_timeout_s,
                fleet_status=FleetStatusReader(settings.fleet.namespace),
            ),
            stores_factory=stores,
            catalogue=catalogue(),
        ),
        timeout_s=CONTROLLER_TIMEOUT_S,
    )
    location = Location.HeadOnly if len(_addresses()) == 1 else Location.EveryNode
    serve.start(proxy_location=location, http_options=HTTPOptions(host=host, port=port))
    app = gateway_application(settings.gateway, GatewayFactory(stores, settings.fleet.namespace))
    try:
        serve.run(app, name=SERVE_APP, route_prefix="/")
    except RuntimeError as error:
        raise NotReady(f"the gateway did not come up on Serve: {error}") from error


def undeploy(settings: Settings) -> None:
    """End the gateway, then drain and end the fleet. What is desired and journaled stays in the stores."""
    serve.delete(SERVE_APP)
    stop_fleet(settings.fleet.namespace)


def _check_reach(backing: Backing) -> None:
    addresses = _addresses()
    if backing.embedded and len(addresses) > 1:
        raise Conflict(
            f"the embedded {' and '.join(backing.embedded)} serve one machine, and this cluster has {len(addresses)}: "
            "set OSSA_DATABASE__DSN and OSSA_MODELS__TIERS to servers that all nodes reach",
            param="database.dsn",
        )


def _addresses() -> set[str]:
    return {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
