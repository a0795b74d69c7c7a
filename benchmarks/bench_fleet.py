"""A whole fleet for a benchmark: in a home of its own, with a scripted upstream, gone afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ossa.app.local_fleet import LocalFleet
from ossa.contracts.configuration import AnswerSettings, FleetSettings, GatewaySettings, Models, ScalingSettings
from ossa.sdk.client import Client
from ossa.sdk.connecting import connect
from ossa.settings import Settings
from ossa.testing.models.server import ScriptedProcess

DEPLOY_TIMEOUT_S = 600.0


class BenchFleet:
    """`with BenchFleet(home, upstream, agents=8) as fleet: fleet.deploy(); fleet.url`."""

    def __init__(
        self,
        home: str,
        upstream: ScriptedProcess,
        *,
        agents: int,
        replicas: int = 1,
        standby: int = 1,
        gateway: dict[str, Any] | None = None,
        fleet: dict[str, Any] | None = None,
        answers: dict[str, Any] | None = None,
        scaling: dict[str, Any] | None = None,
        others: dict[str, Any] | None = None,
    ) -> None:
        self.agents = agents
        self.settings = Settings(
            home=Path(home),
            models=Models(tiers={"standard": upstream.endpoint(timeout_s=30)}),
            gateway=GatewaySettings(port=0, replicas=replicas, **(gateway or {})),
            fleet=FleetSettings(standby=standby, **(fleet or {})),
            answers=AnswerSettings(**(answers or {})),
            scaling=ScalingSettings(**(scaling or {"mode": "off"})),
            **(others or {}),
        )
        self._local = LocalFleet(self.settings, agents=agents)

    @property
    def url(self) -> str:
        return self._local.url

    @property
    def api_key(self) -> str:
        return self._local.api_key

    @property
    def ray_address(self) -> str:
        return self._local.ray_address

    @property
    def dashboard_url(self) -> str:
        return self._local.dashboard_url

    @property
    def dsn(self) -> str:
        return self._local.dsn

    def client(self) -> Client:
        return connect(self.url, self.api_key, timeout_s=120)

    def deploy(self) -> None:
        """Deploy the phase through the API and wait for all agents."""
        with self.client() as client:
            operation = client.deploy_phase(self.agents, self.settings.phase)
            client.operations.wait(operation.id, timeout_s=DEPLOY_TIMEOUT_S)

    def __enter__(self) -> BenchFleet:
        self._local.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._local.stop()
        self._local.erase()
