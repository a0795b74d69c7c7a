"""What `compress` never loses, and never takes apart."""

from __future__ import annotations

import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossa.vortex import MemoryOriginals, compress, decompress
from ossa.vortex.signals import NEGATION, brief_of, fault_weight
from ossa.vortex.tokens import counter_for

SUBJECTS = ("The primary database", "Node seven", "The payment queue", "Our cache", "The nightly job")
CLAIMS = (
    "was restarted after the upgrade",
    "does not accept writes from the old cluster",
    "has never been backed up since the move",
    "serves every request of the region",
    "cannot reach the broker",
    "runs without a replica",
)
SENTENCES = st.lists(
    st.tuples(st.sampled_from(SUBJECTS), st.sampled_from(CLAIMS), st.integers(100, 999)), min_size=20, max_size=60
)


def calm_log(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [f"2025-06-12 10:{n // 60:02}:{n % 60:02} INFO served /v1/{rng.randrange(10**5)}" for n in range(count)]


@settings(max_examples=30, deadline=None)
@given(said=SENTENCES, reduction=st.sampled_from([0.5, 0.7, 0.85, 0.92]), floor=st.booleans())
def test_a_sentence_stays_whole_with_its_negation_or_not_at_all(
    said: list[tuple[str, str, int]], reduction: float, floor: bool
) -> None:
    sentences = [f"{subject} {claim} in zone {number}." for subject, claim, number in said]
    text = compress(" ".join(sentences), "which database is safe?", reduction=reduction, floor=floor).text
    body = re.sub(r"\n\[[^\]]*\]$", "", text)
    for part in re.split(r" … |\n|(?<=\.) ", body):
        assert not part or part in sentences or part == text


@settings(max_examples=30, deadline=None)
@given(count=st.integers(60, 300), place=st.integers(0, 59), seed=st.integers(0, 99))
def test_a_fault_survives_in_any_place_of_a_log(count: int, place: int, seed: int) -> None:
    lines = calm_log(count, seed)
    lines[place] = f"2025-06-12 11:00:00 ERROR shard {seed} refused: disk quota exceeded"
    assert lines[place] in compress("\n".join(lines), "is all well?").text


@settings(max_examples=30, deadline=None)
@given(count=st.integers(60, 300), place=st.integers(0, 59), seed=st.integers(0, 99))
def test_what_the_question_names_survives_in_any_place_of_a_log(count: int, place: int, seed: int) -> None:
    lines = calm_log(count, seed)
    lines[place] = f"2025-06-12 11:00:00 INFO order ord-{seed}x{count} moved to shelf {place}"
    assert lines[place] in compress("\n".join(lines), f"where is ord-{seed}x{count}?").text


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), reduction=st.sampled_from([0.5, 0.7, 0.85, 0.92]))
def test_every_value_that_stays_of_a_short_json_is_literally_one_of_its_values(seed: int, reduction: float) -> None:
    rng = random.Random(seed)
    document = {
        "order": f"K{rng.randrange(10**6):06}",
        "paid": rng.random() < 0.5,
        "legs": [
            {"flight": f"HAT{rng.randrange(1000):03}", "on": f"2024-05-{rng.randrange(10, 29)}"} for _ in range(4)
        ],
        "card": f"credit_card_{rng.randrange(10**7)}",
        "note": "no refund",
    }
    text = compress(json.dumps(document), "change the flight", reduction=reduction, floor=False).text
    body = re.sub(r"\n?\[[^\]]*\]$", "", text)
    values = {document["order"], document["card"], *(leg[key] for leg in document["legs"] for key in leg)}
    assert all(word.rpartition("=")[2].strip('"') in values for word in re.findall(r"\S*\d{2,}\S*", body))
    assert not re.search(r"(?<!=)\b(?:true|false)\b", body), "a flag without its key says nothing"
    assert "no refund" not in body or 'note="no refund"' in body


def test_what_the_question_names_survives_among_many_faults_that_are_nearer_to_it() -> None:
    rng = random.Random(2)
    causes = ("disk", "quota", "shard", "broker", "lease", "socket", "replica", "cursor")
    lines = [
        f"ERROR refused {' '.join(rng.sample(causes, 5))} timeout: no {rng.choice(causes)} left" for _ in range(300)
    ]
    lines[150] = "INFO parcel par-77x1 waits"
    question = "why was par-77x1 refused? no disk quota shard broker lease socket replica cursor left, timeout error"
    assert lines[150] in compress("\n".join(lines), question).text


def test_identifiers_of_a_short_json_stay_before_its_prose_and_amounts() -> None:
    document = {
        "title": "A quiet room near the station with breakfast",
        "amount": 412,
        "city": "Springfield",
        "reservation_id": "ZX81QQ",
        "payment_id": "gift_card_5094406",
        "comment": "The guest was glad about the view and the lift",
        "currency": "dollars",
        "created": "by the desk",
    }
    text = compress(json.dumps(document), "cancel it", budget_tokens=32).text
    assert "ZX81QQ" in text
    assert "gift_card_5094406" in text
    assert "glad" not in text


def test_the_numbered_line_that_the_question_names_stays() -> None:
    lines = [f"{n}:    amount = read(source, {n * 7919 % 1009})" for n in range(1, 300)]
    text = compress("[File: /srv/app/totals.py (299 lines total)]\n" + "\n".join(lines), "open totals.py 217").text
    assert all(line in text for line in lines[215:218]), "with the lines beside it"


@pytest.mark.parametrize(
    ("line", "brief"),
    [
        ("[File: /srv/shop/app/orders.py (120 lines total, read with care)]", "app/orders.py"),
        ("see https://example.com/help for what can be done about all of this here", "https://example.com/help"),
        ("the pod web-6958c5 did not start in the namespace that was given to it", ""),
        ("ERROR while reading /srv/shop/app/orders.py from the disk of the machine", ""),
        ("nothing of a name here, just words that go on and on", ""),
    ],
)
def test_a_line_is_put_by_its_names_unless_it_denies_or_tells_of_a_fault(line: str, brief: str) -> None:
    assert brief_of(line, "shell", ("/srv/shop/",)) == brief


@settings(max_examples=60, deadline=None)
@given(line=st.text(max_size=120) | st.lists(st.sampled_from(["not", "a/b.py", "x1y2", "word", "Error"])).map(" ".join))
def test_a_brief_is_made_of_the_line_and_denies_nothing_away(line: str) -> None:
    brief = brief_of(line, "shell", ())
    assert all(part in line for part in brief.split())
    assert not brief or (not NEGATION.search(line) and fault_weight(line) < 0.6)


@pytest.mark.parametrize("lines", [12, 400])
def test_the_note_is_short_in_a_short_text_and_its_handle_is_followed(lines: int) -> None:
    originals = MemoryOriginals()
    content = "\n".join(calm_log(lines, 1))
    result = compress(content, reduction=0.8, floor=False, originals=originals)
    note = result.text.rsplit("\n", 1)[-1]
    assert result.handles[0] in note
    assert counter_for().count(note) <= (15 if lines < 100 else 17)
    assert decompress(result.text, originals) == content


def test_a_long_content_shrinks_with_the_floor_too() -> None:
    rng = random.Random(5)
    words = [f"word{n}" for n in range(4000)]
    sentences = [f"The {' '.join(rng.choices(words, k=12))} came later." for _ in range(3000)]
    assert compress(" ".join(sentences), "when did the word17 come?").reduction > 0.8
