"""Installing what services need: Debian packages as root, Kafka's jars by Maven."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.services.catalogue import service_class
from scripts.services.failure import ServiceFailed
from scripts.services.jars import JARS, MAVEN, fetch_kafka
from scripts.services.needs import BARMAN, Need

BESIDE = {"postgres": (BARMAN,)}
"""What tests want beside a service that does without it."""

_APT_LIMIT_S = 900
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::http::Timeout=30", "-y", "-qq")
_POLICY = Path("/usr/sbin/policy-rc.d")
_CREATE_CLUSTER = Path("/etc/postgresql-common/createcluster.conf")


def install(names: Sequence[str], progress: Callable[[str], None]) -> list[str]:
    """Install what these services need; `progress` hears of each step before it is taken.

    What cannot be had is returned, a sentence each; nothing is raised for it.
    """
    faults = []
    packages = debian_packages(lacking(names))
    steps: list[tuple[str, Callable[[], None]]] = []
    if packages:
        steps.append((f"Installing {' '.join(packages)} ...", lambda: _install_packages(packages)))
    if JARS in lacking(names):
        steps.append((f"Fetching {JARS.what} ...", fetch_kafka))
    for saying, step in steps:
        progress(saying)
        try:
            step()
        except ServiceFailed as error:
            faults.append(error.message)
    return faults


def lacking(names: Iterable[str]) -> list[Need]:
    """Each once."""
    needs = {need.what: need for name in names for need in (*service_class(name).needs, *BESIDE.get(name, ()))}
    if JARS.what in needs and not JARS.found():
        needs[MAVEN.what] = MAVEN
    return [need for need in needs.values() if not need.found()]


def debian_packages(needs: Iterable[Need]) -> list[str]:
    return sorted({need.package for need in needs if need.package})


def _install_packages(packages: Sequence[str]) -> None:
    """Programs alone: no server is started, and no PostgreSQL cluster is made. Raises `ServiceFailed`."""
    listed = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServiceFailed(f"Not installed, and this is not root on a Debian: {listed}.")
    if not _CREATE_CLUSTER.exists():
        _CREATE_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
        _CREATE_CLUSTER.write_text("create_main_cluster = false\n")
    with _no_server_starts():
        command = [*_APT, "install", "--no-install-recommends", *packages]
        if _run(command) is not None:
            _run([*_APT, "update"])
            fault = _run(command)
            if fault is not None:
                raise ServiceFailed(f"apt-get could not install {listed}: {fault}")


def _run(command: Sequence[str]) -> str | None:
    """The last line of what it said when it failed."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_APT_LIMIT_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {_APT_LIMIT_S} s"
    said = (done.stderr or done.stdout).strip().splitlines()
    return None if done.returncode == 0 else (said[-1] if said else f"exit code {done.returncode}")


@contextmanager
def _no_server_starts() -> Iterator[None]:
    """Debian starts a server when its package is installed, unless this file says no."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
