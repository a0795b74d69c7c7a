"""Small models, fitted in a blink on a handful of texts."""

from __future__ import annotations

from functools import lru_cache

from lab.routing import agents, labels, quality
from lab.routing.agents import AgentJob
from lab.routing.labels import LabelJob, Labelled
from lab.routing.network import Plan
from lab.routing.quality import Answered, QualityJob
from ossa.routing.learned.archive import ModelFile

SUBJECTS = {
    "weather": ("rain in {}", "will it snow in {}", "how warm is {} today", "forecast for {}"),
    "travel": ("book a flight to {}", "find a hotel in {}", "train tickets to {}", "a cheap trip to {}"),
    "cooking": ("a recipe from {}", "how do they bake bread in {}", "what spices are used in {}", "cook soup as in {}"),
}
PLACES = ("Paris", "Rome", "Oslo", "Lima", "Cairo", "Delhi", "Quito", "Prague")
CARDS = {
    "weather": "Tells the weather, rain and snow, and the forecast of any city.",
    "travel": "Books flights, hotels and train tickets for a trip.",
    "cooking": "Finds recipes and says how to cook and bake.",
}
ABOUT = {"name": "small", "data": "made up", "split": "none"}


def labelled() -> list[Labelled]:
    return [
        Labelled(phrase.format(place), label, "home" if label == "cooking" else "away")
        for label, phrases in SUBJECTS.items()
        for phrase in phrases
        for place in PLACES
    ]


@lru_cache(maxsize=2)
def labels_file(seed: int = 7) -> ModelFile:
    plan = Plan(hidden=16, epochs=12, batch=16, members=2, seed=seed)
    outside = ["tell me a joke", "who are you", "what is love", "sing a song"] * 4
    texts = labelled()
    return labels.train(LabelJob(texts[::2], texts[1::2], ABOUT, outside=outside, plan=plan))


@lru_cache(maxsize=2)
def agents_file() -> ModelFile:
    return agents.train(AgentJob(labelled(), CARDS, ["tell me a joke"], ABOUT))


@lru_cache(maxsize=2)
def quality_file() -> ModelFile:
    """A small model that is right about the weather alone, and a large one that is always right."""
    answered = [
        Answered(
            one.label,
            one.text,
            {"small": float(one.label == "weather"), "large": 1.0},
            {"small": 0.001, "large": 0.01},
        )
        for one in labelled()
    ]
    return quality.train(QualityJob(answered, ABOUT, stiffness=0.5)).file
