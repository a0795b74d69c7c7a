"""A tool whose effects can be counted: `record_effect` writes one file a call, named by its idempotency key.

The folder is `OSSA_EFFECTS_DIR`. A key that is there already is the same call
run again, and is not applied twice, as any receiver that honours idempotency
keys does. Two files for one logical effect (`task`, `n`) would mean that one
call went out under two keys: a duplicated effect.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections import Counter
from pathlib import Path

from ossa.agent.tools import ToolContext, tool

ENVIRONMENT = "OSSA_EFFECTS_DIR"
WRITING = "writing"


@tool(effects="idempotent")
async def record_effect(task: str, n: int, context: ToolContext) -> dict[str, int]:
    """Record effect number n of a task."""
    folder = Path(os.environ[ENVIRONMENT])
    entry = json.dumps({"task": task, "n": n, "task_id": context.task_id})
    with (folder / "tries").open("a") as tries:  # one short appended line is written whole
        tries.write(entry + "\n")
    # Written beside and linked into place: a process that is killed in between has applied nothing, and not half of it.
    writing = folder / WRITING
    writing.mkdir(exist_ok=True)
    draft = writing / uuid.uuid4().hex
    draft.write_text(entry)
    with contextlib.suppress(FileExistsError):
        os.link(draft, folder / context.idempotency_key.replace(":", "_"))
    return {"recorded": n}


TOOLS = (record_effect,)


def count_effects(folder: Path) -> tuple[Counter[tuple[str, int]], int]:
    """How often each logical effect was applied, and how often any was tried."""
    applied: Counter[tuple[str, int]] = Counter()
    for path in folder.iterdir():
        if path.name not in ("tries", WRITING):
            entry = json.loads(path.read_text())
            applied[(entry["task"], entry["n"])] += 1
    tries = folder / "tries"
    return applied, len(tries.read_text().splitlines()) if tries.exists() else 0
