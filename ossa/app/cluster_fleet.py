"""All of it on a cluster that is there: `ray job submit`. The fleet outlives the job that deployed it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ossa.app.bootstrap import FILE, bootstrap, make_home
from ossa.app.deployment import deploy, reachable, serve_address
from ossa.app.local_ray import is_free
from ossa.app.run_file import RunFile, read_run_file, write_run_file
from ossa.app.services import Backing, Services
from ossa.app.sizing import agents_on_cluster, node_cpus, what_is_missing
from ossa.contracts.errors import Conflict, OssaError
from ossa.contracts.value import Progress
from ossa.observability.logs import write_log_lines
from ossa.settings import Settings

log = logging.getLogger(__name__)

HOST = "ossa:embedded-services"
ENSURE_S = 2.0
START_TIMEOUT_S = 180.0


class EmbeddedHost:
    """A detached actor that starts the embedded services beside itself and starts again what dies of them.

    When it dies itself, they live on, and the next one adopts them.
    """

    def __init__(self, settings: Settings) -> None:
        write_log_lines()
        self._services = Services(settings)
        self._backing = self._services.start()
        self._watch: asyncio.Task[None] | None = None

    async def backing(self) -> Backing:
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep())
        return self._backing

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.to_thread(self._services.stop)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(ENSURE_S)
            try:
                await asyncio.to_thread(self._services.ensure)
            except OssaError as error:
                log.warning("embedded_service_down", extra={"reason": str(error)[:200]})


class ClusterFleet:
    """The same face as `LocalFleet`; `start` needs no Ray of its own and nothing is stopped at the end."""

    def __init__(self, settings: Settings, *, agents: int | None = None, progress: Progress = lambda _: None) -> None:
        if not ray.is_initialized():
            ray.init(namespace=settings.fleet.namespace, log_to_driver=False)
        self.settings = settings
        self.home: Path = settings.home_dir
        cpus = node_cpus()
        self.agents = agents or agents_on_cluster(cpus, settings.fleet)
        self._missing = what_is_missing(self.agents, cpus, settings.fleet)
        self._progress = progress
        self.key_file = self.home / FILE
        self.url = ""
        self.dashboard_url = ""

    @property
    def api_key(self) -> str:
        return self.key_file.read_text().strip()

    def start(self) -> None:
        """Everything up but the agents. Raises an `OssaError` that says what is in the way."""
        make_home(self.home)
        gateway = self.settings.gateway
        if self._missing:
            self._progress(self._missing)
        backing = self._backing()
        created = asyncio.run(bootstrap(self.settings, backing.dsn.get_secret_value()))
        self.key_file = created.key_file
        serving = serve_address()
        host, port = serving or (gateway.host, gateway.port)
        self.url = f"http://{reachable(host)}:{port}"
        if serving:
            self._progress(f"Serve runs on this cluster already: the gateway is at its address, {self.url}")
        elif not is_free(port, host):
            raise Conflict(f"port {port} on {host} is taken: set OSSA_GATEWAY__PORT", param="port")
        known = read_run_file(self.home)
        ours = known is not None and known.serve and known.url == self.url
        deploy(self.settings, backing, fleet_id=created.fleet_id, host=host, port=port)
        address = ray.get_runtime_context().gcs_address
        run = RunFile(
            url=self.url,
            api_key_file=str(self.key_file),
            ray_address=address,
            namespace=self.settings.fleet.namespace,
            embedded=backing.embedded,
            serve=serving is None or ours,
        )
        write_run_file(self.home, run)

    def agent_pss_mib(self) -> float | None:
        """None: the agents' processes are on other machines."""
        return None

    def _backing(self) -> Backing:
        """From the embedded services' host on this node; without any, from settings alone."""
        services = Services(self.settings)
        if services.postgres is None and services.model is None:
            return services.start()
        host: Any = (
            ray.remote(EmbeddedHost)
            .options(
                name=HOST,
                namespace=self.settings.fleet.namespace,
                lifetime="detached",
                get_if_exists=True,
                max_restarts=-1,
                num_cpus=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False),
            )
            .remote(self.settings)
        )
        backing: Backing = ray.get(host.backing.remote(), timeout=START_TIMEOUT_S)
        return backing


def stop_embedded(namespace: str) -> None:
    """End the embedded services' host and what it hosts, where there is one."""
    try:
        host = ray.get_actor(HOST, namespace=namespace)
    except ValueError:
        return
    ray.get(host.stop.remote(), timeout=60)
    ray.kill(host, no_restart=True)
