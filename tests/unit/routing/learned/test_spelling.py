"""A mistyped word is read as the one that was meant, known words stay as they are, and nothing takes long."""

from __future__ import annotations

import random
import string
from dataclasses import replace

import numpy as np
import pytest

from ossa.routing.learned import spelling
from ossa.routing.learned.archive import ModelFile, dump, load
from ossa.routing.learned.labels import LabelModel, confident
from ossa.routing.learned.reading import read
from ossa.routing.learned.spelling import MOST_KNOWN, Spelling, one_error_apart
from tests.unit.routing.learned.fitted import labels_file

KNOWN = ("flight", "weather", "recipe", "hotel", "hostel", "Straße".lower(), "forecast", "cat")


def words(text: str, known: tuple[str, ...] = KNOWN) -> list[str]:
    return Spelling.of(known).read(read(text)).words


@pytest.mark.parametrize("typed", ["fligth", "fligt", "flightt", "flught", "flight", "lfight", "light", "FLIGTH"])
def test_one_typing_error_is_undone(typed: str) -> None:
    assert words(f"a {typed} there") == ["a", "flight", "there"]


@pytest.mark.parametrize("typed", ["fligxtt", "gliths", "cta", "ca", "x", "zzzz", "北京天气", "12345"])
def test_what_is_too_far_or_too_short_stays(typed: str) -> None:
    assert words(typed) == [typed]


def test_a_known_word_is_never_changed() -> None:
    assert words("hotel hostel", ("hostel", "hotel")) == ["hotel", "hostel"]


def test_of_two_the_more_frequent_is_meant() -> None:
    assert words("hosel", ("hostel", "hotel", "hose")) == ["hostel"]
    assert words("hotels", ("hotel", "hostels")) == ["hotel"]
    assert words("hoted", ("noted", "hotel")) == ["noted"]


def test_every_single_error_is_one_apart_and_two_are_not() -> None:
    word = "forecast"
    letters = string.ascii_lowercase
    single = {word[:at] + word[at + 1 :] for at in range(len(word))}
    single |= {word[:at] + letter + word[at:] for at in range(len(word) + 1) for letter in letters}
    single |= {word[:at] + letter + word[at + 1 :] for at in range(len(word)) for letter in letters}
    single |= {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
    assert all(one_error_apart(word, other) and one_error_apart(other, word) for other in single - {word})
    assert not any(one_error_apart(word, other) for other in (word, "forecxyt", "recastfo", "orecasts", ""))


def test_both_ends_of_a_long_text_are_corrected() -> None:
    found = words("fligth " + "x " * 5_000 + "recpie")
    assert (found[0], found[-1]) == ("flight", "recipe")


def test_a_text_without_unknown_words_is_the_reading_itself() -> None:
    reading = read("hotel weather")
    assert Spelling.of(KNOWN).read(reading) is reading


def test_letters_and_pairs_are_of_the_words_that_were_meant() -> None:
    meant, typed = read("book a flight"), Spelling.of(("book", "flight")).read(read("book a fligth"))
    for name in ("word_buckets", "pair_buckets", "gram_buckets"):
        assert np.array_equal(getattr(meant, name), getattr(typed, name))


def test_a_typing_error_keeps_the_label() -> None:
    model = LabelModel.of(labels_file())
    for typed, meant in {"find a hotl in Rome": "find a hotel in Rome", "fligth to Oslo": "flight to Oslo"}.items():
        assert np.array_equal(model.logits(read(typed)), model.logits(read(meant)))


def test_a_file_without_words_changes_none() -> None:
    file = labels_file()
    arrays = {name: array for name, array in file.arrays.items() if name != "words"}
    old = LabelModel.of(load(dump(ModelFile(file.card, arrays))))
    reading = read("find a hotl in Rome")
    assert old.spelling.read(reading) is reading
    assert np.isfinite(old.predict(reading).likely).all()


def test_the_words_come_back_from_a_file_in_their_order() -> None:
    one = Spelling.of(KNOWN)
    assert list(Spelling.of_array(one.as_array()).frequency) == list(KNOWN)
    assert not Spelling.of_array(Spelling.of(()).as_array()).frequency


def test_the_vocabulary_is_bounded() -> None:
    assert len(Spelling.of(f"word{at}" for at in range(MOST_KNOWN + 5)).frequency) == MOST_KNOWN


def test_of_a_megabyte_of_gibberish_few_words_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []

    def counted(self: Spelling, word: str) -> str:
        looked_up.append(word)
        return word

    monkeypatch.setattr(spelling.Spelling, "meant", counted)
    rng = random.Random(7)
    gibberish = " ".join("".join(rng.choices(string.ascii_lowercase, k=9)) for _ in range(100_000))
    known = Spelling.of(KNOWN)
    for text in (gibberish, "x" * (1 << 20), "aaaa" * (1 << 18)):
        known.read(read(text))
    assert 0 < len(looked_up) <= 16


@pytest.mark.parametrize(("slope", "bias"), [(0.5, 0.0), (1.5, 0.5), (0.7, -3.0), (0.3, 4.0)])
def test_calibration_keeps_the_order_of_the_best_and_the_bounds(slope: float, bias: float) -> None:
    rng = np.random.default_rng(7)
    for spread in (0.01, 0.1, 1.0):
        for likely in rng.dirichlet(np.full(20, spread), 200).astype(np.float32)[:, :-1]:
            found = confident(likely, slope, bias)
            assert found.argmax() == likely.argmax()
            assert (found >= 0).all() and found.sum() <= 1 + 1e-5


def test_a_calibrated_model_says_its_calibrated_likelihood() -> None:
    model = LabelModel.of(labels_file())
    reading = read("rain or a recipe or a flight")
    plain = model.predict(reading).likely
    best = int(plain.argmax())
    less = replace(model, slope=0.5, bias=-1.0).predict(reading).likely
    assert less.argmax() == best and less[best] < plain[best]
