"""The predictor: takes samples, returns forecasts. It learns from the store alone, so it may die at any time."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from ossa.contracts.errors import OssaError
from ossa.contracts.routing import ModelRecord
from ossa.contracts.scaling import ForecastError, PoolSample, Predicted
from ossa.contracts.stores import PredictorStores
from ossa.scaling.forecast.forecaster import Forecaster
from ossa.scaling.forecast.model import ForecastModel, load

log = logging.getLogger(__name__)

MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Minute:
    """`needs` are mean turns at the same time, waiting ones included, by pool, over the minute that ended `at`."""

    at: datetime
    needs: dict[str, float]


@dataclass
class Minutes:
    """Takes samples in order of time, and returns each minute once a sample of a later one has come."""

    _minute: int | None = None
    _sums: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, samples: Iterable[PoolSample]) -> list[Minute]:
        """Returns the minutes that these samples complete. Samples older than the current minute are skipped."""
        done: list[Minute] = []
        for sample in samples:
            # A sample sums up what came before it: one at 12:00:00 belongs to the minute before.
            minute = int((sample.at.timestamp() - 1e-6) // MINUTE_S)
            if self._minute is not None and minute < self._minute:
                continue
            if self._minute is not None and minute > self._minute:
                done.append(self._close(self._minute))
            self._minute = minute
            self._sums[sample.pool].append(sample.running + sample.queued)
        return done

    def _close(self, minute: int) -> Minute:
        needs = {pool: sum(values) / len(values) for pool, values in self._sums.items()}
        self._sums.clear()
        return Minute(datetime.fromtimestamp((minute + 1) * MINUTE_S, UTC), needs)


KIND: Final = "forecast"
"""Kind of model in the registry."""

HISTORY = timedelta(days=2)
"""Read at the start: it includes the same hour of yesterday and of the day before."""

LEARNED = 180
"""Minutes that blends and bands learn from; older ones only give lags."""

MODEL_EVERY = timedelta(minutes=1)


def _now() -> datetime:
    return datetime.now(UTC)


class PredictorService:
    """`ossa.contracts.scaling.Predictor` in this process. It takes open stores; `close` closes them.

    Args:
        clock: UTC; decides how old history is and when to ask the registry again.
    """

    def __init__(self, stores: PredictorStores, clock: Callable[[], datetime] = _now) -> None:
        self._stores = stores
        self._clock = clock
        self._pools: tuple[str, ...] = ()
        self._forecaster: Forecaster | None = None
        self._minutes = Minutes()
        self._record: ModelRecord | None = None
        self._model: ForecastModel | None = None
        self._asked_at: datetime | None = None
        self._trouble = ""
        self._one_at_a_time = asyncio.Lock()

    async def predict(self, samples: Sequence[PoolSample]) -> Predicted:
        async with self._one_at_a_time:
            troubles: list[str] = []
            for step in (self._ask_registry(), self._take_in(samples)):
                try:
                    await step
                except OssaError as error:
                    troubles.append(error.message)
            trouble = "; ".join([*troubles, *filter(None, [self._trouble])])
            if self._forecaster is None:
                return Predicted(trouble=trouble or "no minute of samples is complete yet")
            return Predicted(
                forecasts=self._forecaster.forecasts(),
                earlier=self._forecaster.earlier(),
                errors=_errors(self._forecaster),
                model=self._forecaster.version,
                trouble=trouble,
            )

    async def close(self) -> None:
        await self._stores.close()

    async def _take_in(self, samples: Sequence[PoolSample]) -> None:
        minutes = await self._completed(samples)
        await asyncio.to_thread(self._learn, minutes)

    async def _completed(self, samples: Sequence[PoolSample]) -> list[Minute]:
        """Returns the minutes that these samples complete; the first time also those in the store."""
        pools = tuple(sorted({sample.pool for sample in samples} | set(self._pools)))
        if pools == self._pools:
            return self._minutes.add(samples)
        now = self._clock()
        stored = await self._stores.scaling.samples(since=now - HISTORY, pools=pools)
        known = {(sample.pool, sample.at) for sample in stored}
        rest = [sample for sample in samples if (sample.pool, sample.at) not in known]
        self._minutes, self._forecaster, self._pools = Minutes(), None, pools
        return await asyncio.to_thread(self._minutes.add, sorted([*stored, *rest], key=lambda sample: sample.at))

    def _learn(self, minutes: Sequence[Minute]) -> None:
        if not minutes and self._forecaster is not None:
            return
        if self._forecaster is None:
            if not minutes:
                return
            self._forecaster = self._fresh(minutes[:-LEARNED])
            minutes = minutes[-LEARNED:]
        for minute in minutes:
            self._forecaster.observe(minute.at, minute.needs)

    def _fresh(self, history: Sequence[Minute]) -> Forecaster:
        usable = self._model is not None and set(self._model.pools) >= set(self._pools)
        if self._model is not None and not usable:
            self._trouble = (
                f"model {self._model.version} is of pools {', '.join(self._model.pools)}, the fleet has "
                f"{', '.join(self._pools)}: train anew"
            )
        model = self._model if usable else None
        try:
            forecaster = Forecaster(model.pools if model else self._pools, model)
        except ValueError as error:
            self._trouble = str(error)
            forecaster = Forecaster(self._pools)
        forecaster.remember([(minute.at, minute.needs) for minute in history])
        return forecaster

    async def _ask_registry(self) -> None:
        """Takes the live model, once a minute. An unusable one leaves the former in use. Raises `OssaError`."""
        now = self._clock()
        if self._asked_at is not None and timedelta(0) <= now - self._asked_at < MODEL_EVERY:
            return
        live = next((record for record in await self._stores.routing.live() if record.kind == KIND), None)
        self._asked_at = now
        if live == self._record:
            return
        if live is None:
            self._take(None, None)
            return
        content = await self._stores.routing.model_file(KIND, live.version)
        self._take(live, await asyncio.to_thread(load, content, source=f"forecast model {live.version}"))

    def _take(self, record: ModelRecord | None, model: ForecastModel | None) -> None:
        """Starts again with this model: the next call reads history, and errors are counted from zero."""
        self._record, self._model, self._trouble = record, model, ""
        self._pools, self._forecaster = (), None
        log.info("forecast_model_taken", extra={"model": model.version if model else "simple"})


def _errors(forecaster: Forecaster) -> tuple[ForecastError, ...]:
    return tuple(
        ForecastError(
            pool=pool,
            horizon_s=horizon_s,
            wape=error.wape,
            against_persistence=_finite(error.against_persistence),
            trusted=error.trusted,
        )
        for (pool, horizon_s), error in forecaster.errors.items()
    )


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None
