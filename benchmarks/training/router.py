"""Train the routing models that come with the package: `python -m benchmarks.training.router --data DIR`.

- `quality`: expected quality and cost of model tiers. RouterBench's train split and half of RouteLLM's MMLU; a tier is
  the model whose price is of that kind (`TIER_MODELS`). MMLU was not asked of a lightweight model: its score there is
  RouterBench's share of right answers of that model, given whether the other two were right.
- `agents`: how much each word of a request tells about which agent it is for. ToolE's train queries and tool
  descriptions, and CLINC150's train texts for how rare words are. Its card has the figures for tools left out in turn.

The same data give the same bytes. The default folder is the packaged one; one core, some minutes.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks.routing import zero_shot
from benchmarks.routing.sets import clinc150, routellm_mmlu, routerbench, toole
from lab.routing.agents import AgentJob
from lab.routing.agents import train as train_agents
from lab.routing.calibration import expected_calibration_error
from lab.routing.quality import FOLDS, Answered, QualityJob
from lab.routing.quality import train as train_quality
from ossa.routing.learned.archive import ModelFile, dump
from ossa.routing.learned.quality import QualityModel
from ossa.routing.learned.reading import read

PACKAGED = Path("ossa/routing/learned/models")
TIER_MODELS = {
    "lightweight": "mistralai/mistral-7b-chat",
    "standard": "mistralai/mixtral-8x7b-chat",
    "premium": "gpt-4-1106-preview",
}
"""RouterBench's models by price: about 0.1, 0.25 and 5 USD for a thousand of its prompts."""

MMLU_MODELS = {"standard": "mixtral-8x7b", "premium": "gpt-4-1106"}
LIGHTWEIGHT_OF_STANDARD = 1 / 3
"""Their list prices in RouterBench's time: 0.2 and 0.6 USD for a million tokens."""

Advance = Callable[[], object]


def of_tiers(answered: Sequence[Answered]) -> list[Answered]:
    """RouterBench's prompts, by tier."""
    return [
        Answered(
            one.task,
            one.prompt,
            {tier: one.score[model] for tier, model in TIER_MODELS.items()},
            {tier: one.cost_usd[model] for tier, model in TIER_MODELS.items()},
        )
        for one in answered
    ]


def mmlu_of_tiers(answered: Sequence[Answered], known: Sequence[Answered]) -> list[Answered]:
    """MMLU's prompts, by tier; the lightweight one's expected from `known`, which has all."""
    given: dict[tuple[bool, bool], list[float]] = {}
    for one in known:
        given.setdefault(_right(one.score), []).append(one.score["lightweight"])
    expected = {right: float(np.mean(scores)) for right, scores in given.items()}
    found = []
    for one in answered:
        score = {tier: one.score[model] for tier, model in MMLU_MODELS.items()}
        cost = {tier: one.cost_usd[model] for tier, model in MMLU_MODELS.items()}
        light = {"lightweight": expected[_right(score)]}
        light_cost = {"lightweight": cost["standard"] * LIGHTWEIGHT_OF_STANDARD}
        found.append(Answered(one.task, one.prompt, light | score, light_cost | cost))
    return found


def _right(score: dict[str, float]) -> tuple[bool, bool]:
    return score["standard"] >= 0.5, score["premium"] >= 0.5


def quality(data: Path, advance: Advance) -> ModelFile:
    bench, mmlu = routerbench(data), routellm_mmlu(data)
    known = of_tiers(bench.shown)
    shown = known + mmlu_of_tiers(mmlu.shown, known)
    about = {
        "name": "quality of model tiers",
        "data": "RouterBench (MBPP, ARC-challenge, WinoGrande) and RouteLLM's MMLU answers",
        "split": f"RouterBench: {bench.split}; MMLU: {mmlu.split}",
        "tiers": {**TIER_MODELS, "specialized": None},
    }
    file = train_quality(QualityJob(shown, about), advance=advance).file
    model = QualityModel.of(file)
    held_out = {"RouterBench": of_tiers(bench.test), "MMLU": mmlu_of_tiers(mmlu.test, known)}
    metrics = {f"held-out {name}": _metrics(model, answered) for name, answered in held_out.items()}
    return ModelFile({**file.card, "metrics": {**file.card["metrics"], **metrics}}, file.arrays)


def _metrics(model: QualityModel, answered: Sequence[Answered]) -> dict[str, Any]:
    expected = np.stack([model.predict(read(one.prompt)).quality for one in answered])
    scores = np.asarray([[one.score[tier] for tier in model.models] for one in answered])
    return {
        "prompts": len(answered),
        "expected quality": dict(zip(model.models, np.round(expected.mean(axis=0).astype(float), 4), strict=True)),
        "mean score": dict(zip(model.models, np.round(scores.mean(axis=0), 4), strict=True)),
        "squared error": round(float(((expected - scores) ** 2).mean()), 4),
        "calibration error": round(expected_calibration_error(expected.ravel(), scores.ravel()), 4),
    }


def agents(data: Path, advance: Advance) -> ModelFile:
    tools = toole(data)
    background = [one.text for one in clinc150(data).shown]
    cards = {label: zero_shot.named(label, card) for label, card in tools.cards.items()}
    about = {
        "name": "agents by their descriptions",
        "data": "ToolE's single-tool queries and tool descriptions; CLINC150's train texts",
        "split": tools.split,
    }
    file = train_agents(AgentJob(tools.shown, cards, background, about))
    advance()
    left_out = {
        one.set.removeprefix(f"{tools.name} "): {"accuracy": round(one.accuracy, 4), "texts": one.n}
        for one in zero_shot.run(tools, background, advance)
        if one.method == "ossa"
    }
    metrics = {**file.card["metrics"], "tools left out in turn, among all": left_out}
    return ModelFile({**file.card, "metrics": metrics}, file.arrays)


MODELS: dict[str, tuple[Callable[[Path, Advance], ModelFile], int]] = {
    "quality": (quality, FOLDS),
    "agents": (agents, 1 + zero_shot.STEPS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSSA_DATA", "../shared/data")))
    parser.add_argument("--into", type=Path, default=PACKAGED, help="the folder the files are written to")
    parser.add_argument("--only", nargs="+", choices=list(MODELS), help="these models alone")
    args = parser.parse_args()
    args.into.mkdir(parents=True, exist_ok=True)
    console = Console()
    for name, (make, steps) in MODELS.items():
        if args.only and name not in args.only:
            continue
        with Progress(console=Console(stderr=True)) as progress:
            file = make(args.data, partial(progress.advance, progress.add_task(name, total=steps)))
        content = dump(file)
        (args.into / f"{name}.npz").write_bytes(content)
        console.print(f"{name}: {len(content) / 1e6:.2f} MB, digest {file.digest}")
        console.print(file.card["metrics"], file.card["calibration"])


if __name__ == "__main__":
    main()
