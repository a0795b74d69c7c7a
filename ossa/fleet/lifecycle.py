"""Starts and stops a fleet on a Ray cluster. Blocking: for composition roots, jobs and tests."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.placement_group import remove_placement_group

from ossa.contracts.errors import NotReady, OssaError
from ossa.fleet.autoscaling.forecaster import end_forecaster
from ossa.fleet.controller_actor import ControllerActor, ControllerConfig
from ossa.fleet.naming import CONTROLLER
from ossa.fleet.ray_cluster import find_groups, find_processes, last_line

log = logging.getLogger(__name__)

POLL_S = 0.1


def start_controller(config: ControllerConfig, *, timeout_s: float = 60.0) -> None:
    """Starts the namespace's controller, or finds the running one, which keeps its own config.

    Returns once it has adopted live processes. Raises `NotReady`, and `Conflict` when it is another fleet's.
    """
    controller = (
        ray.remote(ControllerActor)
        .options(
            name=CONTROLLER,
            namespace=config.settings.namespace,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            # Callers retry themselves; their calls may be repeated.
            max_task_retries=0,
            max_concurrency=10_000,
            _labels={"ossa-fleet": config.settings.namespace},
        )
        .remote(config)
    )
    _ask(controller.ready, timeout_s, timeout_s, config.fleet_id)


def stop_fleet(namespace: str, *, timeout_s: float = 90.0) -> None:
    """Drains and ends all agents, the controller and the blocks of that namespace, and nothing else.

    The desired fleet stays in the store. Raises `NotReady` when something is left after `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    controller = _find_controller(namespace)
    if controller is not None:
        try:
            _ask(controller.stop, timeout_s)
        except (OssaError, RayError) as error:
            log.warning("fleet_stopped_by_force", extra={"reason": str(error)[:200]})
        ray.kill(controller, no_restart=True)
    with contextlib.suppress(ValueError, RayError):
        end_forecaster(namespace)
    while processes := find_processes(namespace):
        for process in processes:
            with contextlib.suppress(ValueError, RayError):
                ray.kill(process.handle, no_restart=True)
        _wait_before(end, f"{len(processes)} agents")
    while groups := find_groups(namespace):
        for group in groups:
            remove_placement_group(group)
        _wait_before(end, f"{len(groups)} blocks")
    while _find_controller(namespace) is not None:
        _wait_before(end, "the controller")


def _find_controller(namespace: str) -> Any:
    try:
        return ray.get_actor(CONTROLLER, namespace=namespace)
    except ValueError:
        return None


def _wait_before(end: float, what: str) -> None:
    if time.monotonic() > end:
        raise NotReady(f"stopping the fleet left {what} behind")
    time.sleep(POLL_S)


def _ask(method: Any, timeout_s: float, *args: Any) -> None:
    try:
        ray.get(method.remote(*args), timeout=timeout_s + 5)
    except GetTimeoutError:
        raise NotReady("the fleet's controller does not answer") from None
    except RayTaskError as error:
        if isinstance(error.cause, OssaError):
            raise error.cause from None
        raise
    except RayError as error:
        raise NotReady(f"the fleet's controller does not start: {last_line(error)}") from error
