"""The predictor as a Ray actor of its own: numpy, its CPU time and its faults stay out of the controller."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from ossa.contracts.errors import OssaError
from ossa.contracts.scaling import PoolSample, Predicted
from ossa.contracts.stores import PredictorStores
from ossa.fleet.naming import FORECASTER
from ossa.observability.logs import write_log_lines

log = logging.getLogger(__name__)

ANSWER_S = 2.5


class ForecasterActor:
    """Restarted without limit; it learns from the store."""

    def __init__(self, make_stores: Callable[[], PredictorStores]) -> None:
        write_log_lines()
        self._make_stores = make_stores
        self._service: Any = None

    def __repr__(self) -> str:
        return "fleet-forecaster"

    async def predict(self, samples: Sequence[PoolSample]) -> Predicted:
        if self._service is None:
            from ossa.scaling.predictor import PredictorService

            stores = self._make_stores()
            await stores.open()
            self._service = PredictorService(stores)
        predicted: Predicted = await self._service.predict(samples)
        return predicted


class RayForecaster:
    """`Predictor` over the namespace's forecaster actor, which the first call starts."""

    def __init__(self, namespace: str, make_stores: Callable[[], PredictorStores]) -> None:
        self._namespace = namespace
        self._make_stores = make_stores
        self._actor: Any = None

    async def predict(self, samples: Sequence[PoolSample]) -> Predicted:
        try:
            if self._actor is None:
                self._actor = await asyncio.wait_for(asyncio.to_thread(self._start), ANSWER_S)
            predicted: Predicted = await asyncio.wait_for(self._actor.predict.remote(list(samples)), ANSWER_S)
            return predicted
        except TimeoutError:
            return Predicted(trouble="the forecaster does not answer")
        except RayTaskError as error:
            reason = error.cause.message if isinstance(error.cause, OssaError) else str(error.cause)
            return Predicted(trouble=f"the forecaster failed: {reason}"[:300])
        except RayError as error:
            self._actor = None
            return Predicted(trouble=f"the forecaster is away: {type(error).__name__}")

    async def close(self) -> None:
        with contextlib.suppress(ValueError, RayError, TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(end_forecaster, self._namespace), ANSWER_S)

    def _start(self) -> Any:
        return (
            ray.remote(ForecasterActor)
            .options(
                name=FORECASTER,
                namespace=self._namespace,
                lifetime="detached",
                get_if_exists=True,
                num_cpus=0,
                max_restarts=-1,
                max_task_retries=0,
                _labels={"ossa-fleet": self._namespace},
            )
            .remote(self._make_stores)
        )


def end_forecaster(namespace: str) -> None:
    """Ends the forecaster. Blocks. Raises `ValueError` when there is none."""
    ray.kill(ray.get_actor(FORECASTER, namespace=namespace), no_restart=True)
