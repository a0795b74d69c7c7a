"""How many real manifests load: `python -m benchmarks.manifests --data ../shared/ossa --out FILE.json`.

Every file below `DATA/manifests` is read, folder by folder (one a dialect
family). A rejected document counts as an Agent unless it could be read that
it is of another kind. Variables expand to their defaults. The exit code is 1
when a folder misses its target or the reader crashed, 2 without data.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ossa.manifest import SUFFIXES, Loaded, OtherKind, Reading, Rejected, dump, load, read_agent

TARGETS = {"v0.5.x": 0.97}
OLDER_TARGET = 0.90


@dataclass
class Folder:
    """One folder's figures. `rate` is loaded / agents, 1 for none."""

    folder: str
    target: float
    files: int = 0
    documents: int = 0
    agents: int = 0
    loaded: int = 0
    rejected: int = 0
    other_kinds: int = 0
    crashes: int = 0
    round_trips: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    dialects: dict[str, dict[str, int]] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    rejections: list[dict[str, Any]] = field(default_factory=list)
    crashed: list[dict[str, str]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.loaded / self.agents if self.agents else 1.0

    @property
    def passed(self) -> bool:
        return not self.crashes and self.rate >= self.target and self.round_trips == self.loaded

    def report(self) -> dict[str, Any]:
        return {**asdict(self), "rate": round(self.rate, 4), "passed": self.passed}


def measure(folder: Path) -> Folder:
    """Read every manifest file below `folder`."""
    result = Folder(folder.name, TARGETS.get(folder.name, OLDER_TARGET))
    kinds: Counter[str] = Counter()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(SUFFIXES)):
        result.files += 1
        started = time.perf_counter()
        try:
            readings = load(path, env={})
        except Exception as error:  # noqa: BLE001 - a crash is what is counted here
            result.crashes += 1
            result.crashed.append({"file": str(path.relative_to(folder)), "error": f"{type(error).__name__}: {error}"})
            continue
        seconds = time.perf_counter() - started
        result.seconds += seconds
        result.slowest_ms = max(result.slowest_ms, seconds * 1e3)
        for reading in readings:
            _count(result, kinds, reading, str(path.relative_to(folder)))
    result.kinds = dict(sorted(kinds.items()))
    result.seconds, result.slowest_ms = round(result.seconds, 3), round(result.slowest_ms, 1)
    return result


def _count(result: Folder, kinds: Counter[str], reading: Reading, file: str) -> None:
    result.documents += 1
    if isinstance(reading, OtherKind):
        result.other_kinds += 1
        kinds[reading.kind] += 1
    elif isinstance(reading, Loaded):
        result.agents += 1
        result.loaded += 1
        dialect = result.dialects.setdefault(reading.spec.dialect, {"loaded": 0})
        dialect["loaded"] += 1
        result.round_trips += read_agent(dump(reading.spec), env={}).digest == reading.spec.digest
    else:
        _count_rejection(result, kinds, reading, file)


def _count_rejection(result: Folder, kinds: Counter[str], reading: Rejected, file: str) -> None:
    result.rejected += 1
    is_agent = reading.kind in ("", "Agent")
    if is_agent:
        result.agents += 1
    else:
        kinds[reading.kind] += 1
    reason = reading.model_dump(include={"line", "path", "kind", "problem", "expected"})
    result.rejections.append({"file": file, "counts_as_agent": is_agent, **reason})


def _table(folders: list[Folder]) -> str:
    head = f"{'folder':<24}{'documents':>10}{'agents':>8}{'loaded':>8}{'rate':>8}{'target':>8}"
    head += f"{'rejected':>10}{'other':>7}{'crash':>7}{'seconds':>9}"
    rows = [
        f"{f.folder:<24}{f.documents:>10}{f.agents:>8}{f.loaded:>8}{f.rate:>8.1%}{f.target:>8.0%}"
        f"{f.rejected:>10}{f.other_kinds:>7}{f.crashes:>7}{f.seconds:>9.2f}  {'ok' if f.passed else 'MISSED'}"
        for f in folders
    ]
    reasons = [
        f"  {f.folder}/{r['file']}:{r['line'] or 1}: {r['path'] or 'document'}: {r['problem']}"
        + ("" if r["counts_as_agent"] else f" (kind {r['kind']})")
        for f in folders
        for r in f.rejections
    ]
    return "\n".join([head, *rows, *(["", "rejected:", *reasons] if reasons else [])])


def default_data() -> Path:
    """`ossa` beside the folder `OSSA_DATA` names, else `../shared/ossa`."""
    beside = os.environ.get("OSSA_DATA")
    return Path(beside).parent / "ossa" if beside else Path("../shared/ossa")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.manifests", description=__doc__)
    parser.add_argument("--data", type=Path, default=None, help="folder with `manifests/` in it")
    parser.add_argument("--out", type=Path, default=None, help="write the figures and every rejection as JSON here")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args(arguments)
    data = options.data or default_data()
    manifests = data / "manifests"
    if not manifests.is_dir():
        print(f"no manifests: {manifests} is not a folder; say where with --data", file=sys.stderr)
        return 2
    folders = [measure(folder) for folder in sorted(manifests.iterdir()) if folder.is_dir()]
    if not folders:
        print(f"no manifests: {manifests} holds no folders", file=sys.stderr)
        return 2
    passed = all(folder.passed for folder in folders)
    report = {
        "passed": passed,
        "documents": sum(f.documents for f in folders),
        "agents": sum(f.agents for f in folders),
        "loaded": sum(f.loaded for f in folders),
        "crashes": sum(f.crashes for f in folders),
        "folders": [folder.report() for folder in folders],
    }
    text = json.dumps(report, indent=2)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    print(text if options.json else _table(folders))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
