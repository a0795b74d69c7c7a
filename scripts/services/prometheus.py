"""Prometheus, from Debian."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from scripts.services import http
from scripts.services.home import write_private
from scripts.services.needs import program
from scripts.services.service import Address, Member, Service

_MEMBER = "prometheus"
_INTERVAL = "2s"
_KEPT = "2d"


class Prometheus(Service):
    """Watches itself and what `folder` of its address names: JSON files of targets, as `file_sd_configs` has them."""

    name = "prometheus"
    needs = (program("prometheus", "prometheus"),)

    @classmethod
    def ports(cls, members: int) -> dict[str, tuple[str, ...]]:
        return {_MEMBER: ("http",)}

    @property
    def _targets(self) -> Path:
        return self.home.path / "targets"

    def prepare(self) -> None:
        self._targets.mkdir(mode=0o755, exist_ok=True)
        jobs = [
            {"job_name": "prometheus", "static_configs": [{"targets": list(self.hosts("http"))}]},
            {
                "job_name": "ossa",
                "file_sd_configs": [{"files": [f"{self._targets}/*.json"], "refresh_interval": _INTERVAL}],
            },
        ]
        configuration = {
            "global": {"scrape_interval": _INTERVAL, "scrape_timeout": _INTERVAL, "evaluation_interval": _INTERVAL},
            "scrape_configs": jobs,
        }
        write_private(self.home.data / "prometheus.yml", yaml.safe_dump(configuration), self.account)

    def stages(self) -> Sequence[Sequence[Member]]:
        command = (
            "/usr/bin/prometheus",
            f"--config.file={self.home.data / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.home.data / _MEMBER}",
            f"--storage.tsdb.retention.time={_KEPT}",
            f"--web.listen-address={self.hosts('http')[0]}",
        )
        return [[Member(_MEMBER, command)]]

    def problem(self, member: str) -> str | None:
        return http.refusal(f"http://{self.hosts('http')[0]}/-/ready")

    def address(self) -> Address:
        hosts = self.hosts("http")
        return Address(f"http://{hosts[0]}", hosts, folder=str(self._targets))
