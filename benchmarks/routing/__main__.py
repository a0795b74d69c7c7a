"""How well routing learns: `python -m benchmarks.routing --data DIR [--out FILE.json] [--only SET ...]`.

Which agent or pool (CLINC150, ToolE) and which model (RouterBench, RouteLLM's MMLU): trained here on each set's train
split, scored on its test split, with nearest neighbours over static embeddings, TF-IDF with a linear model, every fixed
model and mixes of them in the same run. A set's own split is kept, and train texts with the words of a test text are
dropped; where a set has none, texts that are nearly the same stay on one side. Rows of a set `...+typos`, `...+case`,
`...+paraphrase` are of test texts with that noise, `...+refusing` counts a refused text as wrong, `...+top5` is right
among five, `... zero-shot` is by descriptions alone. Of model choice, `accuracy` and `cost_usd` are at the worth of an
answer that reached the strong model's accuracy on the train split; `bills` are read off the test curve's hull.

`--file FILE` takes the labels form (`split,text,label,group`) or the model-choice form (`split,task,prompt,
score|MODEL,cost_usd|MODEL`) instead; the bars are of the open sets, so a file has none. The exit code is 1 when a bar
is missed. One core, about half an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.routing import choosing, labelling, zero_shot
from benchmarks.routing.choosing import Bill
from benchmarks.routing.results import Result
from benchmarks.routing.sets import clinc150, routellm_mmlu, routerbench, toole
from benchmarks.routing.showing import show
from benchmarks.routing.targets import targets
from lab.routing.forms import ChoiceSet, LabelSet, choice_file, is_choice, labels_file
from ossa.contracts.errors import InvalidRequest

OPEN: dict[str, Callable[[Path], LabelSet | ChoiceSet]] = {
    "routerbench": routerbench,
    "routellm_mmlu": routellm_mmlu,
    "clinc150": clinc150,
    "toole": toole,
}


def chosen_sets(args: argparse.Namespace) -> list[LabelSet | ChoiceSet]:
    if args.file:
        if not args.file.is_file():
            raise SystemExit(f"there is no file {args.file}")
        try:
            return [choice_file(args.file) if is_choice(args.file) else labels_file(args.file)]
        except InvalidRequest as error:
            raise SystemExit(error.message) from None
    if not (args.data / "routing").is_dir():
        raise SystemExit(f"no folder routing in {args.data}: give --data DIR (or OSSA_DATA), or --file FILE")
    return [make(args.data) for name, make in OPEN.items() if not args.only or name in args.only]


def measure(sets: list[LabelSet | ChoiceSet], data: Path) -> tuple[list[Result], list[Bill]]:
    results: list[Result] = []
    bills: list[Bill] = []
    with Progress(console=Console(stderr=True)) as progress:
        for one in sets:
            if isinstance(one, ChoiceSet):
                found, costs = choosing.run(one, _bar(progress, one.name, choosing.steps(one)))
                results += found
                bills += costs
                continue
            results += labelling.run(one, _bar(progress, one.name, labelling.steps(one)))
            if one.cards:
                background = [other.text for other in clinc150(data).shown]
                results += zero_shot.run(one, background, _bar(progress, f"{one.name} zero-shot", zero_shot.STEPS))
    return results, bills


def _bar(progress: Progress, name: str, steps: int) -> Callable[[], object]:
    task = progress.add_task(name, total=steps)
    return lambda: progress.advance(task)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSSA_DATA", "../shared/data")))
    parser.add_argument("--file", type=Path, help="a set in the labels or model-choice form instead of the open ones")
    parser.add_argument("--only", nargs="+", choices=list(OPEN), help="these sets alone")
    parser.add_argument("--out", type=Path, help="write the figures here")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    sets = chosen_sets(args)
    results, bills = measure(sets, args.data)
    asked = targets(results, bills)
    found = {
        "results": [one.as_json() for one in results],
        "bills": [one.as_json() for one in bills],
        "splits": {one.name: one.split for one in sets},
        "targets": [one.as_json() for one in asked],
    }
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1)) if args.json else show(found)
    sys.exit(0 if all(one.met for one in asked) else 1)


if __name__ == "__main__":
    main()
