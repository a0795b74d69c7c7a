"""What the trainers learn from the journal, and what they never see before they are judged by it."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.router_training.material import kind_of, labelled, material_of, observed
from jobs.router_training.quality_trainer import QualityTrainer
from jobs.router_training.run import Candidate, current_model, register, trainer_of
from jobs.tuning.promotion import Verdict, compare, decide
from jobs.tuning.search import Found
from lab.routing.splitting import key_of
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.routing import Example
from ossa.routing.learned.archive import ModelFile
from ossa.routing.learned.quality import QualityModel
from ossa.routing.learned.reading import read
from ossa.testing.stores import MemoryStores

NOW = datetime(2026, 3, 4, tzinfo=UTC)
NOUNS = ("invoice", "refund", "parcel", "contract", "firewall", "password", "forecast", "meeting", "budget", "server")


def example(n: int, **fields: Any) -> Example:
    known: dict[str, Any] = {
        "task_id": f"task_{n:032x}",
        "tenant": "acme",
        "text": f"please look at {NOUNS[n % 10]} number {n}",
        "target": "auto",
        "manifest": "reviewer",
        "pool": "security",
        "tier": "standard",
        "succeeded": True,
        "explored": False,
        "tool_errors": 0,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost_usd": 0.001,
        "seconds": 1.0,
        "rating": None,
        "expected": "",
        "at": NOW + timedelta(minutes=n),
    }
    return Example(**{**known, **fields})


def test_the_newest_tasks_are_held_back_and_nothing_shown_has_their_words() -> None:
    examples = [example(n, rating=1.0) for n in range(100)]
    examples.append(example(100, rating=1.0, text=examples[3].text))
    found = observed(list(reversed(examples)))
    last = {row.prompt for row in found.test}
    assert len(found.test) == 20
    assert examples[-1].text in last and examples[99].text in last
    others = {key_of(row.prompt) for row in (*found.shown, *found.kept)}
    assert not others & {key_of(text) for text in last}
    assert not {key_of(row.prompt) for row in found.shown} & {key_of(row.prompt) for row in found.kept}


def test_a_rating_counts_before_success_and_silence_says_nothing() -> None:
    rows = observed([example(0, rating=0.25), example(1, succeeded=False), example(2), example(3, tier=None)])
    scores = {row.prompt[-1]: row.score for row in (*rows.shown, *rows.kept, *rows.test)}
    assert scores == {"0": 0.25, "1": 0.0, "2": None}


def test_labels_are_whom_users_expected_or_liked() -> None:
    rows = labelled(
        [
            example(0, rating=0.0, expected="community"),
            example(1, rating=1.0),
            example(2, rating=0.0),
            example(3),
            example(4, rating=0.0, expected="reviewer"),
        ]
    )
    found = {row.text[-1]: (row.label, row.group) for row in (*rows.shown, *rows.kept, *rows.test)}
    assert found == {"0": ("community", "community"), "1": ("reviewer", "security"), "4": ("reviewer", "security")}


def tiered(n: int) -> Example:
    """The cheap tier is right on invoices alone."""
    cheap = n % 2 == 0
    right = 1.0 if not cheap or n % 10 == 0 else 0.0
    return example(
        n, tier="lightweight" if cheap else "premium", rating=right, cost_usd=0.0001 if cheap else 0.01, explored=True
    )


def test_ratings_teach_what_a_tier_is_good_at_and_it_beats_the_means() -> None:
    trainer = QualityTrainer([observed([tiered(n) for n in range(600)])])
    file = trainer.fit({"stiffness": 2.0, "prior": 20.0})
    model = QualityModel.of(file)
    assert model.models == ("lightweight", "premium")
    invoice = model.predict(read("please look at invoice number 1000")).quality
    parcel = model.predict(read("please look at parcel number 1000")).quality
    assert invoice[0] > 0.7 > 0.3 > parcel[0]
    (ours,), (usual,) = trainer.judge(file), trainer.judge(None)
    assert decide([compare(ours, usual)]).promote
    assert not decide([compare(usual, ours)]).promote
    assert pickle.loads(pickle.dumps(trainer)).kind == "quality"


def test_what_a_task_did_not_tell_is_the_priors_estimate_moved_by_what_is_known() -> None:
    prior = QualityTrainer([observed([tiered(n) for n in range(600)])]).fit({"stiffness": 2.0, "prior": 20.0})
    worse = [example(n, tier="premium", rating=0.5, at=NOW + timedelta(days=1, minutes=n)) for n in range(200)]
    later = QualityModel.of(QualityTrainer([observed(worse)], prior).fit({"stiffness": 5.0, "prior": 20.0}))
    text = read("please look at invoice number 1000")
    before, after = QualityModel.of(prior).predict(text).quality, later.predict(text).quality
    assert after[1] < before[1] - 0.2
    assert abs(after[0] - before[0]) < 0.25


def test_too_little_material_is_told() -> None:
    with pytest.raises(InvalidRequest, match="50 are needed"):
        trainer_of("labels", [example(n) for n in range(500)], [], None)


def test_a_set_of_models_that_are_no_tiers_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "choices.csv"
    file.write_text("split,task,prompt,score|gpt,cost_usd|gpt\ntrain,a,one two,1,0.1\ntest,a,three four,1,0.1\n")
    assert kind_of(file) == "quality"
    with pytest.raises(InvalidRequest, match="called as tiers are"):
        material_of(file)
    with pytest.raises(InvalidRequest, match="no file"):
        material_of(tmp_path / "missing.csv")


def candidate(file: ModelFile, *, promote: bool) -> Candidate:
    return Candidate("quality", file, "rules", Found({}, 0.0, {}), [], Verdict(promote, "said so"))


async def test_a_worse_candidate_is_registered_and_not_promoted() -> None:
    stores = MemoryStores()
    file = QualityTrainer([observed([tiered(n) for n in range(100)])]).fit({"stiffness": 2.0, "prior": 20.0})
    version = await register(stores.routing, candidate(file, promote=False))
    assert version == 1
    assert [model.state for model in await stores.routing.models()] == ["candidate"]
    assert (await current_model(stores.routing, "quality"))[0] != "version 1"
    await register(stores.routing, candidate(file, promote=True))
    assert [model.state for model in await stores.routing.models()] == ["live"]
    name, current = await current_model(stores.routing, "quality")
    assert name == "version 1" and current is not None and current.digest == file.digest
