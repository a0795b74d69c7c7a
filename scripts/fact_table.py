"""Which fact each write of the product tells, or why it tells none. `docs/events.md` shows it, a test holds it true.

A write is a statement that inserts, updates or deletes, or calls a function of the schema that does: by the file in
`ossa/stores/postgres/queries` and its name there, or by module and function for one in code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ossa
from ossa.contracts import facts
from ossa.contracts.facts import FactData

PACKAGE = Path(ossa.__path__[0])
POSTGRES = PACKAGE / "stores" / "postgres"
QUERIES = POSTGRES / "queries"
MIGRATIONS = POSTGRES / "migrations"


@dataclass(frozen=True, slots=True)
class Tells:
    """The types of fact that a write tells.

    `by` names where the call of `ossa.tell` is, when the statement itself has none: a Python function in the same
    transaction, as `file.py:function`, or the function of the schema that the statement calls.
    """

    kinds: tuple[type[FactData], ...]
    by: str = ""


@dataclass(frozen=True, slots=True)
class Silent:
    """A write that tells nothing, and why."""

    why: str


TIDYING = Silent("Removes what its own time is over for; nothing was decided.")
POSITION = Silent("The place of a reader in the log; the log does not tell of those who read it.")
LEASE = Silent("A dispatcher's sign of life, renewed every few seconds.")
MEASURED = Silent("A measurement, many a minute: metrics show it.")
COPIES = Silent("Moves copies of a memory between tiers; what it says and who may read it stay as they are.")
CALL = "The call by which the writes above tell."
WITH_TASK = Silent("A part of a task, whose own facts tell it.")

WRITES: dict[str, Tells | Silent] = {
    "agent_history.add": Silent("A list made from facts, by a consumer of the log."),
    "agent_history.prune": TIDYING,
    "budgets.put": Tells((facts.BudgetSet,)),
    "budgets.remove": Tells((facts.BudgetRemoved,)),
    "budgets.reserve": Silent("Before each model call; `budgets.mark` tells when it meets a limit for the first time."),
    "budgets.settle": Silent("After each model call; the step's fact tells what it cost."),
    "budgets.recover": Silent("Settles what a dead owner had reserved; the amounts are in the balance."),
    "budgets.mark": Tells((facts.BudgetWarned, facts.BudgetRefused)),
    "budgets.forget_marks": TIDYING,
    "budgets.forget_reservations": TIDYING,
    "budgets.forget_tasks": TIDYING,
    "facts.tell": Tells(
        (
            facts.AgentReady,
            facts.AgentFailed,
            facts.AgentLost,
            facts.AgentReplaced,
            facts.AgentRemoved,
        )
    ),
    "facts.join": POSITION,
    "facts.leave": POSITION,
    "facts.commit": POSITION,
    "facts.seek": Tells((facts.ConsumerMoved,)),
    "facts.bury": Silent("A dead letter, which `ossa events dead` shows: a fact of it could fail in the same handler."),
    "facts.ahead": TIDYING,
    "facts.prune": TIDYING,
    "facts.add": POSITION,
    "facts.forget": TIDYING,
    "fleet.save_pool": Tells((facts.PoolChanged,)),
    "fleet.save_agent": Tells((facts.AgentDeclared,)),
    "fleet.remove_agent": Tells((facts.AgentWithdrawn,)),
    "fleet.save_standby": Tells((facts.StandbyChanged,)),
    "fleet.save_phase": Tells((facts.PhaseChanged,)),
    "fleet.save_configuration": Tells((facts.ConfigurationChanged,)),
    "fleet.offer_secret": Silent("The fleet's own secrets, made once by whoever starts first; no fact holds a secret."),
    "fleet.save_operation": Tells(
        (facts.OperationAccepted, facts.OperationBegun, facts.OperationSucceeded, facts.OperationFailed)
    ),
    "history.ahead": TIDYING,
    "history.prune": TIDYING,
    "history.drop": TIDYING,
    "journal.write": Tells((facts.TaskAccepted, facts.TaskStep, facts.TaskFinished), by="ossa.journal_write"),
    "journal.claim": Silent("Who works on a task; the steps' facts name the agent."),
    "journal.renew": LEASE,
    "journal.forget_dispatchers": LEASE,
    "journal.retire": LEASE,
    "journal.ask_to_cancel": Silent("A wish: the task's end, which comes soon, is told."),
    "journal.cancel_queued": Tells((facts.TaskFinished,)),
    "keys.add": Tells((facts.KeyCreated,)),
    "keys.revoke": Tells((facts.KeyRevoked,)),
    "lists.mark": POSITION,
    "memory.write": Tells((facts.MemoryWritten,)),
    "memory.claim": COPIES,
    "memory.store_away": COPIES,
    "memory.bring_back": COPIES,
    "memory.mark": COPIES,
    "memory.tidied": COPIES,
    "memory.used": Silent("Counts of recalls, gathered: they decide where copies lie."),
    "memory.erase": Tells((facts.MemoryForgotten,), by="memory.py:_erase"),
    "memory.confirm": Tells((facts.MemoryErased,)),
    "memory.close_erasure": TIDYING,
    "memory.grant": Tells((facts.MemoryGranted,)),
    "memory.revoke": Tells((facts.MemoryRevoked,)),
    "originals.put": WITH_TASK,
    "originals.sweep": TIDYING,
    "policies.save": Tells((facts.PolicyChanged,)),
    "policies.remove": Tells((facts.PolicyRemoved,)),
    "routing.rate": Tells((facts.FeedbackGiven,)),
    "routing.add_model": Tells((facts.RouterAdded,), by="routing.py:_add"),
    "routing.retire": Tells((facts.RouterPromoted,), by="routing.py:_promote"),
    "routing.make_live": Tells((facts.RouterPromoted,), by="routing.py:_promote"),
    "routing.demote": Tells((facts.RouterRolledBack,), by="routing.py:_demote"),
    "routing.restore": Tells((facts.RouterRolledBack,), by="routing.py:_demote"),
    "scaling.add_samples": MEASURED,
    "scaling.prune_samples": TIDYING,
    "scaling.prune_decisions": TIDYING,
    "scaling.add_decision": Tells((facts.ScalingDecided,)),
    "scaling.save_state": Silent("What the scaler remembers between two looks; its decisions are told."),
    "spending.approve": Tells((facts.ProposalApproved,)),
    "stores/backups/server.py:tell": Tells(
        (facts.BackupCompleted, facts.BackupFailed, facts.BackupRestored, facts.BackupRemoved)
    ),
    "stores/backups/server.py:renew": Silent("Within a restore, which is told at its end."),
    "stores/backups/server.py:reindex": COPIES,
    "stores/postgres/schema.py:_apply": Silent(
        "The schema is brought up before the log can be written; ossa.migrations keeps when."
    ),
    "stores/postgres/telling.py:module": Silent(CALL),
}

_WRITING = re.compile(
    r"\b(INSERT\s+INTO|UPDATE\s+(ossa\.|ONLY)|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE|setval)\b", re.IGNORECASE
)
_EFFECTS = re.compile(r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|EXECUTE|nextval|setval)\b", re.IGNORECASE)
_FUNCTION = re.compile(
    r"CREATE (?:OR REPLACE )?FUNCTION (ossa\.\w+)\((?P<body>.*?)(?=\nCREATE |\nSELECT |\nALTER |\nDROP |\Z)", re.DOTALL
)
_TELLS = re.compile(r"\bossa\.tell\(|INSERT\s+INTO\s+ossa\.facts\b", re.IGNORECASE)


def writing_functions() -> dict[str, str]:
    """Functions of the schema that write, by name with their newest text; also those that call one that does."""
    texts: dict[str, str] = {}
    for file in sorted(MIGRATIONS.glob("*.sql")):
        for match in _FUNCTION.finditer(_code(file.read_text("utf-8"))):
            texts[match[1]] = match["body"]
    writing = {name for name, text in texts.items() if _EFFECTS.search(text)}
    while True:
        more = {
            name for name, text in texts.items() if name not in writing and any(f"{one}(" in text for one in writing)
        }
        if not more:
            return {name: texts[name] for name in writing}
        writing |= more


def statements(folder: Path = QUERIES) -> dict[str, str]:
    """Every named statement, as `file.name`."""
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*.sql")):
        parts = re.split(r"^-- name: (\w+)\n", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
        found |= {f"{file.stem}.{name}": _code(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    return found


def writes(folder: Path = QUERIES, package: Path = PACKAGE) -> dict[str, str]:
    """Every statement that writes, with its text."""
    functions = writing_functions()
    found = {name: text for name, text in statements(folder).items() if _writes(text, functions)}
    for name, text in _in_code(package):
        if _writes(text, functions):
            found[name] = f"{found.get(name, '')}\n{text}"
    return found


def problems(found: dict[str, str], table: dict[str, Tells | Silent] | None = None) -> list[str]:
    """A sentence for everything that the table does not say, or says wrongly."""
    table = WRITES if table is None else table
    functions = writing_functions()
    wrong = [f"{name} writes, and the table does not say what it tells" for name in sorted(found.keys() - table.keys())]
    wrong += [f"{name} is in the table and writes nothing" for name in sorted(table.keys() - found.keys())]
    for name, entry in table.items():
        if isinstance(entry, Tells) and name in found and not _is_told(found[name], entry.by, functions):
            wrong.append(f"{name} is said to tell, and calls neither ossa.tell nor inserts into ossa.facts")
        if isinstance(entry, Silent) and name in found and entry.why != CALL and _TELLS.search(found[name]):
            wrong.append(f"{name} is said to tell nothing, and tells")
    told = {kind.TYPE for entry in table.values() if isinstance(entry, Tells) for kind in entry.kinds}
    return wrong + [f"nobody tells {kind}" for kind in sorted(facts.FACTS.keys() - told)]


def _is_told(text: str, by: str, functions: dict[str, str]) -> bool:
    if not by:
        return _TELLS.search(text) is not None
    if by.startswith("ossa."):
        return f"{by}(" in text and _TELLS.search(functions[by]) is not None
    file, _, function = by.partition(":")
    tree = ast.parse((POSTGRES / file).read_text("utf-8"))
    named = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) and node.name == function]
    calls = [node.func for one in named for node in ast.walk(one) if isinstance(node, ast.Call)]
    return any(isinstance(call, ast.Name) and call.id == "tell" for call in calls)


def _writes(text: str, functions: dict[str, str]) -> bool:
    return _WRITING.search(text) is not None or any(f"{name}(" in text for name in functions)


def _in_code(package: Path) -> Iterator[tuple[str, str]]:
    """Texts in Python code that look like SQL, as `path:function`."""
    for file in sorted(package.rglob("*.py")):
        source = file.read_text("utf-8")
        if not (_WRITING.search(source) or "ossa." in source):
            continue
        path = file.relative_to(package).as_posix()
        yield from _texts(ast.parse(source), path, "")


def _texts(node: ast.AST, path: str, function: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _texts(child, path, child.name)
        elif isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # a docstring
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            if re.match(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE|MERGE|TRUNCATE|CALL|DO)\b", child.value):
                yield f"{path}:{function or 'module'}", child.value
        else:
            yield from _texts(child, path, function)


def _code(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)
