"""The spawn predictor is compared with what forecasts now on minutes neither has seen, and promoted when better."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from jobs.spawn_training.run import Candidate, Current, current_model, fleet_minutes, register, trainer_of
from jobs.spawn_training.trainer import FIRST, HORIZONS, SpawnTrainer, results_of, settings_of
from jobs.tuning.promotion import Verdict, compare, decide
from jobs.tuning.search import Found
from lab.forecasting.fitting import FitSettings
from lab.forecasting.split import FEWEST_HELD_OUT
from lab.forecasting.training import train
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.scaling import PoolSample
from ossa.scaling.forecast.model import ForecastModel, load
from ossa.scaling.forecast.series import Panel
from ossa.testing.stores import MemoryStores

ROWS = 1_200
QUICK = {**FIRST, "rounds": 40, "tail_rounds": 10}
ROUGH = {**FIRST, "rounds": 4, "tail_rounds": 3}
"""For tests in which it does not matter how good a fit is."""


def panel(rows: int = ROWS, *names: str) -> Panel:
    """Load that jumps at the half hour: known by its clock, not by its last value."""
    at = np.arange(rows)
    chosen = names or ("security",)
    columns = [10 + 10.0 * ((at + 7 * place) % 60 >= 30) for place in range(len(chosen))]
    values = np.column_stack(columns) + np.random.default_rng(1).normal(0, 0.3, (rows, len(chosen)))
    return Panel(1_772_582_400.0, 60.0, chosen, values)


@pytest.fixture(scope="module")
def model() -> ForecastModel:
    return train(panel(900), HORIZONS, settings_of(ROUGH), figures_too=False)


def candidate(model: ForecastModel, *, promote: bool = True, replaces: int | None = None) -> Candidate:
    return Candidate(model, "the simple experts", replaces, Found({}, 0.0, {}), [], Verdict(promote, "said so"), 1.0)


def test_a_candidate_that_knows_the_clock_is_promoted_and_what_it_beats_is_not() -> None:
    trainer = trainer_of(panel(), Current())
    fitted = trainer.fit(QUICK)
    ours, simple = trainer.judge(fitted), trainer.judge(None)
    assert [one.name for one in ours] == ["1 min ahead", "5 min ahead", "15 min ahead"]
    assert decide([compare(one, other) for one, other in zip(ours, simple, strict=True)]).promote
    assert not decide([compare(one, other) for one, other in zip(simple, ours, strict=True)]).promote
    assert not decide([compare(one, one) for one in ours]).promote


def test_no_fit_sees_what_it_is_judged_by() -> None:
    given = panel()
    trainer = trainer_of(given, Current())
    strange = given.values.copy()
    strange[trainer.split.held_out :] = 777.0
    other = SpawnTrainer(Panel(given.start_s, given.step_s, given.names, strange), trainer.split, "")
    assert trainer.fit(ROUGH).version == other.fit(ROUGH).version
    strange[trainer.split.shown :] = 777.0
    other = SpawnTrainer(Panel(given.start_s, given.step_s, given.names, strange), trainer.split, "")
    assert trainer.fit(ROUGH, held_back=True).version == other.fit(ROUGH, held_back=True).version
    assert trainer.whole(ROUGH).card["trained"]["rows"] == ROWS


def test_a_smaller_share_is_the_newest_part_of_it() -> None:
    given = panel()
    trainer = trainer_of(given, Current())
    strange = given.values.copy()
    strange[:100] = 777.0
    other = SpawnTrainer(Panel(given.start_s, given.step_s, given.names, strange), trainer.split, "")
    assert trainer.fit(ROUGH, share=1.0).version != other.fit(ROUGH, share=1.0).version
    assert trainer.fit(ROUGH, share=0.25).card["settings"]["most_rows"] == round(0.25 * trainer.split.held_out)


def test_the_first_parameters_are_the_settings_that_forecasts_come_with() -> None:
    assert settings_of(FIRST) == FitSettings()
    assert set(FIRST) == set(trainer_of(panel(), Current()).space)


def test_the_model_in_use_is_judged_on_what_came_after_it(model: ForecastModel) -> None:
    trainer = trainer_of(panel(), Current("version 3", model, 3))
    assert (trainer.current, trainer.current_name, trainer.replaces) == (model, "version 3", 3)
    assert trainer.split.held_out >= 900
    assert pickle.loads(pickle.dumps(trainer)).current_name == "version 3"
    with pytest.raises(InvalidRequest, match="Run this again later"):
        trainer_of(panel(900 + FEWEST_HELD_OUT - 1), Current("version 3", model, 3))


def test_a_model_of_other_pools_forecasts_nothing_so_the_simple_experts_are_compared_with(model: ForecastModel) -> None:
    trainer = trainer_of(panel(ROWS, "community", "security"), Current("version 3", model, 3))
    assert (trainer.current, trainer.current_name, trainer.replaces) == (None, "the simple experts", 3)


def test_losses_that_hang_together_are_resampled_together() -> None:
    trainer = trainer_of(panel(), Current())
    assert [results_of(one).block for one in trainer.held_out(None)] == [10, 10, 30]


async def test_a_better_candidate_goes_live_and_can_be_read_again(model: ForecastModel) -> None:
    stores = MemoryStores()
    assert await current_model(stores.routing) == Current()
    assert (await register(stores.routing, candidate(model, promote=False)))[0] == 1
    assert (await current_model(stores.routing)).live is None
    version, verdict = await register(stores.routing, candidate(model))
    assert (version, verdict.promote) == (1, True)
    current = await current_model(stores.routing)
    assert (current.name, current.live) == ("version 1", 1)
    assert current.model is not None and current.model.version == model.version
    assert load(await stores.routing.model_file("forecast", 1)).card == model.card


async def test_a_model_that_went_live_during_the_search_is_not_pushed_aside(model: ForecastModel) -> None:
    stores = MemoryStores()
    await register(stores.routing, candidate(model))
    other = train(panel(800), HORIZONS, settings_of(ROUGH), figures_too=False)
    version, verdict = await register(stores.routing, candidate(other, replaces=None))
    assert (version, verdict.promote) == (2, False)
    assert "version 1 is live by now" in verdict.reason
    assert (await current_model(stores.routing)).name == "version 1"
    assert (await register(stores.routing, candidate(other, replaces=1)))[1].promote
    assert (await current_model(stores.routing)).name == "version 2"


async def test_a_live_model_that_cannot_be_read_is_no_model_and_may_be_replaced(model: ForecastModel) -> None:
    stores = MemoryStores()
    record = await stores.routing.add_model("forecast", b"damaged", card={}, digest="0")
    await stores.routing.promote("forecast", record.version)
    current = await current_model(stores.routing)
    assert current == Current(live=1)
    assert trainer_of(panel(), current).replaces == 1


async def test_samples_of_the_last_days_and_of_these_pools_are_what_is_learned_from() -> None:
    stores = MemoryStores()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    made = PoolSample(pool="security", at=now, running=1.0, queued=1)
    samples = [
        replace_at(made, now - timedelta(minutes=minute), pool)
        for minute in (5, 4, 3)
        for pool in ("community", "security")
    ]
    await stores.scaling.add_samples([*samples, replace_at(made, now - timedelta(days=3), "security")])
    found = await fleet_minutes(stores.scaling, days=1, pools=["security"])
    assert found is not None
    assert found.names == ("security",)
    assert found.values[:, 0].tolist() == [2.0, 2.0]
    assert await fleet_minutes(MemoryStores().scaling, days=1, pools=None) is None


def replace_at(sample: PoolSample, at: datetime, pool: str) -> PoolSample:
    return sample.model_copy(update={"at": at, "pool": pool})


def test_what_is_told_is_plain_data(model: ForecastModel) -> None:
    told = replace(candidate(model), seconds=1.23).told()
    assert (told["name"], told["promote"], told["seconds"]) == (model.version, True, 1.2)
