"""Every model answers any text with bounded, finite values, the same ones every time, whatever the case."""

from __future__ import annotations

import numpy as np
import pytest

from ossa.routing.learned.agents import AgentMatcher, AgentTable
from ossa.routing.learned.archive import dump, load
from ossa.routing.learned.labels import LabelModel
from ossa.routing.learned.quality import Estimate, QualityModel, cheapest_within
from ossa.routing.learned.reading import END_CHARACTERS, MOST_WORDS, read
from tests.unit.routing.learned.fitted import CARDS, SUBJECTS, agents_file, labels_file, quality_file

STRANGE = {
    "empty": "",
    "spaces": " \n\t ",
    "a megabyte": "rain in Rome " * 80_000,
    "a megabyte without a space": "x" * (1 << 20),
    "Chinese": "北京今天会下雨吗？",
    "Arabic": "هل ستمطر غدا في القاهرة؟",
    "Russian": "забронируй билет до Праги",
    "emoji": "☔🌧️🎉" * 50,
    "control characters": "\x00\x01\x1b[31mrain\x7f in\x0b Rome",
    "lone surrogates": "rain \ud800 in \udfff Rome",
    "combining marks": "e" + "\u0301" * 5_000,
    "ligatures that grow": "\ufdfa" * 5_000,
}
strange = pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE.keys())


def bounded(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values >= 0).all() and (values <= 1).all())


def labels() -> LabelModel:
    return LabelModel.of(labels_file())


def table() -> AgentTable:
    return AgentTable.of(list(CARDS.values()), AgentMatcher.of(agents_file()))


def quality() -> QualityModel:
    return QualityModel.of(quality_file())


@strange
def test_likelihoods_of_labels_are_bounded_for_any_text(text: str) -> None:
    scores = labels().predict(read(text))
    assert bounded(scores.likely)
    assert scores.likely.sum() <= 1 + 1e-5


@strange
def test_fits_of_agents_are_bounded_for_any_text(text: str) -> None:
    found = table()
    assert bounded(found.fits(read(text)))
    assert found.likely(read(text)).sum() == pytest.approx(1.0, abs=1e-5)


@strange
def test_qualities_are_bounded_and_costs_positive_for_any_text(text: str) -> None:
    estimate = quality().predict(read(text))
    assert bounded(estimate.quality)
    assert np.isfinite(estimate.cost_usd).all() and (estimate.cost_usd > 0).all()


@pytest.mark.parametrize("text", ["rain in Rome", "Book a FLIGHT to Oslo", "how do they bake bread in Lima"])
def test_case_changes_nothing(text: str) -> None:
    for other in (text.upper(), text.lower(), text.title(), text.swapcase()):
        assert np.array_equal(labels().predict(read(text)).likely, labels().predict(read(other)).likely)
        assert np.array_equal(table().fits(read(text)), table().fits(read(other)))


def test_a_text_is_of_the_label_that_such_texts_had() -> None:
    model = labels()
    for label, phrases in SUBJECTS.items():
        scores = model.predict(read(phrases[0].format("Madrid")))
        assert model.labels[scores.best] == label


def test_a_group_is_as_likely_as_its_labels_together() -> None:
    model = labels()
    likely = model.predict(read("find a hotel in Rome")).likely
    away = likely[model.positions["weather"]] + likely[model.positions["travel"]]
    assert model.of_groups(likely)[model.group_names.index("away")] == pytest.approx(away)


def test_an_agent_is_found_by_what_it_says_of_itself() -> None:
    fits = table().fits(read("please cook me something with a recipe"))
    assert list(CARDS)[int(fits.argmax())] == "cooking"


def test_a_new_agent_needs_no_training() -> None:
    told = [*CARDS.values(), "Translates documents from one language into another."]
    fits = AgentTable.of(told, AgentMatcher.of(agents_file())).fits(read("translate this letter into another language"))
    assert int(fits.argmax()) == len(told) - 1


def test_names_in_camel_case_are_read_word_by_word() -> None:
    matcher = AgentMatcher.of(agents_file())
    fits = AgentTable.of(["TicketSeller", "SoupKitchen"], matcher).fits(read("a kitchen with soup"))
    assert fits[1] > fits[0]


@pytest.mark.parametrize("told", [[], [""], ["", "\ud800\x00"]], ids=["no agent", "one without words", "strange ones"])
def test_a_table_of_agents_that_say_nothing_answers(told: list[str]) -> None:
    fits = AgentTable.of(told, AgentMatcher.of(agents_file())).fits(read("rain in Rome"))
    assert fits.shape == (len(told),)
    assert bounded(fits)


def test_quality_is_expected_where_it_was_seen() -> None:
    model = quality()
    small = model.models.index("small")
    known, unknown = (model.predict(read(text)).quality for text in ("will it snow in Madrid", "a recipe from Madrid"))
    assert known[small] > 0.5 > unknown[small]
    assert (known[model.models.index("large")], unknown[model.models.index("large")]) == pytest.approx((1, 1), abs=0.1)


def test_the_cheapest_model_that_is_good_enough_is_found() -> None:
    estimate = Estimate(np.asarray([0.6, 0.9], dtype=np.float32), np.asarray([0.001, 0.1], dtype=np.float32))
    assert cheapest_within(estimate, 0.5) == 0
    assert cheapest_within(estimate, 0.95) == 1


def test_training_again_gives_the_same_bytes() -> None:
    first = dump(labels_file()), dump(agents_file()), dump(quality_file())
    for made in (labels_file, agents_file, quality_file):
        made.cache_clear()
    assert (dump(labels_file()), dump(agents_file()), dump(quality_file())) == first


def test_a_file_decides_as_the_model_it_was_written_from() -> None:
    again = LabelModel.of(load(dump(labels_file())))
    assert np.array_equal(again.logits(read("rain in Rome")), labels().logits(read("rain in Rome")))


def test_of_a_long_text_its_beginning_and_its_end_are_read() -> None:
    long = read("first " + "x " * 500_000 + "last")
    assert len(long.head) == len(long.tail) == END_CHARACTERS
    assert len(long.words) <= 2 * MOST_WORDS
    assert (long.words[0], long.words[-1]) == ("first", "last")
