"""A split never has nearly the same text on two sides."""

from __future__ import annotations

from lab.routing.splitting import clusters, parts, unseen

BASE = "please find me a quiet hotel near the old harbour of Lisbon for two nights"
NEAR = (BASE, BASE.upper() + "!", BASE.replace("quiet", "cheap"), BASE + " soon")
FAR = ("what is the weather in Oslo today", "play some jazz in the kitchen")


def test_texts_that_are_nearly_the_same_are_one_cluster() -> None:
    found = clusters([*NEAR, *FAR])
    assert len(set(found[: len(NEAR)])) == 1
    assert len(set(found)) == 1 + len(FAR)


def test_a_common_phrase_alone_joins_nothing() -> None:
    texts = [f"can you please help me with my {thing} today" for thing in ("oven repair", "tax form", "guitar lesson")]
    long = [f"{text} because of {number} {number + 1} {number + 2}" for number, text in enumerate(texts)]
    assert len(set(clusters(long))) == len(long)


def test_a_cluster_stays_on_one_side_and_shares_are_kept() -> None:
    texts = [
        f"{word} {number} {word}{number} tells of {number}{word}" for word in ("a", "b", "c") for number in range(400)
    ]
    doubled = [*texts, *(text.upper() for text in texts)]
    sides = parts(doubled, (0.7, 0.3))
    assert sides[: len(texts)] == sides[len(texts) :]
    assert 0.6 < sides.count(0) / len(sides) < 0.8
    assert parts(doubled, (0.7, 0.3)) == sides


def test_shown_texts_with_the_words_of_an_asked_one_are_dropped() -> None:
    assert unseen(["Hello, world!", "goodbye"], ["hello world"], str) == ["goodbye"]
