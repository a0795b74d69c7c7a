"""`python -m scripts.house --base COMMIT [--json]`: counts lines and checks limits. Exit code 1: a limit is broken.

python -m scripts.house --base 4000a53 --most-ossa-lines 54000 --least-deleted 5000 --most-of 0
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from scripts.house.lines import FolderLines, count_lines
from scripts.house.rules import (
    Offence,
    docstrings_that_begin_with,
    import_circles,
    long_functions,
    read_modules,
    wide_constructors,
)

FOLDERS = ("ossa", "lab", "jobs")
COLUMNS = ("before", "now", "moved", "moved_out", "moved_in", "gone", "written", "deleted")


def main() -> int:
    options = _options()
    report: dict[str, Any] = {}
    broken: list[str] = []
    if options.base:
        report["lines"] = {suffix[1:]: _lines(options.base, suffix) for suffix in (".py", ".sql")}
        broken += _broken_sizes(report["lines"]["py"], options)
    modules = read_modules(FOLDERS)
    functions = long_functions(modules, options.most_function_lines)
    constructors = wide_constructors(modules, options.most_parameters)
    circles = import_circles(FOLDERS)
    riddles = docstrings_that_begin_with("Of", modules)
    report |= {
        "functions": [str(offence) for offence in functions],
        "constructors": [str(offence) for offence in constructors],
        "import circles": [", ".join(circle) for circle in circles],
        "docstrings that begin with Of": [str(offence) for offence in riddles],
    }
    broken += _broken(f"functions over {options.most_function_lines} lines", functions, 0)
    broken += _broken(f"constructors over {options.most_parameters} parameters without a reason", constructors, 0)
    broken += _broken("import circles", circles, options.most_circles)
    broken += _broken("docstrings that begin with Of", riddles, options.most_of)
    report["broken"] = broken
    print(json.dumps(report, indent=1) if options.json else _text(report))
    return 1 if broken else 0


def _lines(base: str, suffix: str) -> dict[str, dict[str, int]]:
    folders = count_lines(base, FOLDERS, suffix=suffix)
    for name in FOLDERS:
        total = FolderLines()
        for folder, lines in folders.items():
            if folder == name or folder.startswith(f"{name}/"):
                total.add(lines)
        folders[f"{name} (all)"] = total
    house = FolderLines()
    for name in FOLDERS:
        house.add(folders[f"{name} (all)"])
    folders["all"] = house
    return {name: {**asdict(lines), "deleted": lines.deleted} for name, lines in folders.items()}


def _broken_sizes(lines: dict[str, dict[str, int]], options: argparse.Namespace) -> list[str]:
    broken = []
    if (now := lines["ossa (all)"]["now"]) > options.most_ossa_lines:
        broken.append(f"ossa has {now} lines of Python; the limit is {options.most_ossa_lines}")
    if (deleted := lines["all"]["deleted"]) < options.least_deleted:
        broken.append(f"{deleted} lines of Python were deleted; at least {options.least_deleted} are due")
    return broken


def _broken(name: str, found: list[Offence] | list[list[str]], most: int) -> list[str]:
    return [f"{len(found)} {name}; the limit is {most}"] if len(found) > most else []


def _text(report: dict[str, Any]) -> str:
    out: list[str] = []
    for language, folders in report.get("lines", {}).items():
        out.append(f"{language:20}" + "".join(f"{column.replace('_', ' '):>10}" for column in COLUMNS))
        out += [f"{name:20}" + "".join(f"{lines[column]:10}" for column in COLUMNS) for name, lines in folders.items()]
        out.append("")
    for title in ("functions", "constructors", "import circles", "docstrings that begin with Of", "broken"):
        out.append(f"{title}: {len(report[title])}")
        out += [f"  {line}" for line in report[title]]
    return "\n".join(out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.house", description=__doc__)
    parser.add_argument("--base", default="", help="commit to count lines against; without one only rules are checked")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--most-function-lines", type=int, default=60)
    parser.add_argument("--most-parameters", type=int, default=8, help="of a constructor without a reason")
    parser.add_argument("--most-circles", type=int, default=0)
    parser.add_argument("--most-of", type=int, default=sys.maxsize, help='docstrings that begin with "Of"')
    parser.add_argument("--most-ossa-lines", type=int, default=sys.maxsize)
    parser.add_argument("--least-deleted", type=int, default=-sys.maxsize, help="lines of Python over all folders")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
