"""The models that come with the package are what their cards say."""

from __future__ import annotations

import numpy as np
import pytest

from ossa.contracts.routing import TIERS
from ossa.routing.learned.agents import AgentMatcher, AgentTable
from ossa.routing.learned.archive import REQUIRED, packaged
from ossa.routing.learned.quality import QualityModel
from ossa.routing.learned.reading import read

MOST_ERROR = 0.03
NAMES = ("quality", "agents")


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_the_model_is(name: str) -> None:
    card = packaged(name).card
    assert card["kind"] == name
    assert all(card[part] for part in REQUIRED)


def test_quality_is_calibrated_on_prompts_it_was_not_fitted_to() -> None:
    card = packaged("quality").card
    assert card["calibration"]["error of all"] <= MOST_ERROR
    for held_out in ("held-out RouterBench", "held-out MMLU"):
        assert card["metrics"][held_out]["calibration error"] <= MOST_ERROR


def test_quality_knows_more_than_the_means_of_the_tiers() -> None:
    metrics = packaged("quality").card["metrics"]
    assert metrics["squared error of prompts left out in turn"] < metrics["squared error of the models' means"]


def test_tiers_are_those_of_manifests_and_a_dearer_one_is_expected_to_be_better() -> None:
    model = QualityModel.of(packaged("quality"))
    assert set(model.models) < set(TIERS)
    estimate = model.predict(read("Which of these is a renewable resource?\nA. coal\nB. oil\nC. wind\nD. gas\nAnswer:"))
    quality = dict(zip(model.models, estimate.quality.tolist(), strict=True))
    cost = dict(zip(model.models, estimate.cost_usd.tolist(), strict=True))
    assert quality["lightweight"] < quality["standard"] < quality["premium"]
    assert cost["lightweight"] < cost["standard"] < cost["premium"]


def test_agents_that_were_never_seen_are_told_apart() -> None:
    told = (
        "Reviews code changes for security holes and leaked secrets.",
        "Plans database migrations and tunes slow SQL queries.",
        "Writes release notes and keeps the documentation of a project.",
        "Watches clusters, reads alerts and finds the cause of incidents.",
    )
    table = AgentTable.of(told, AgentMatcher.of(packaged("agents")))
    asked = (
        "is there a leaked password in this commit?",
        "my sql query is very slow, what can I do",
        "please write the notes for our next release",
        "an alert fired, what is the cause of this incident?",
    )
    fits = np.stack([table.fits(read(text)) for text in asked])
    assert fits.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert (fits.max(axis=1) > 0.5).all()
