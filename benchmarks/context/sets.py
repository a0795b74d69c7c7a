"""The published sets, as problems. Each function says what counts as kept and why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.context.problem import Problem, open_lines
from ossa.vortex.words import STOP

EXPECTING = re.compile(
    r"(?i)(?:answer|clear|dates|different|direct|due|e\.g|either|etc|explain|explicitly|fine|following|form|"
    r"holmes|include|included|includes|making|may|mention|mentioned|mentions|might|must|okay|one|order|"
    r"output|quotes|says|similar|slightly|something|specific|state|stated|summarized|tells|told|user|"
    r"whichever)$"
)
"""Words by which a statement says what is expected of an answer, rather than what is the case."""

WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:@-]*[A-Za-z0-9_]|[A-Za-z0-9]")
LITERAL = re.compile(r"[\d_./:-]|[a-z][A-Z]|^[A-Z]{2,}")
"""What is a name or a number rather than a word."""

NUMBERED = re.compile(r"^(\d+)[:\s|]", re.M)
PATH = re.compile(r"(?:[\w.-]*/)*[\w-]+\.[A-Za-z]{1,5}\b|/(?:[\w.-]+/)+[\w.-]+")


def _rows(path: Path) -> Iterator[Any]:
    for line in open_lines(path):
        yield json.loads(line)


def holmes(data: Path) -> list[Problem]:
    """All tool outputs of an incident.

    A fact: one expected statement, by the names and numbers in it that the originals contain; by its other words where
    it has no names.
    """
    found = []
    for row in _rows(data / "incidents" / "holmesgpt_incidents.jsonl.gz"):
        outputs = [f"{text}\n" for text in row["files"].values() if text]
        content = "\n".join(outputs)
        if not row["tool_output_chars"]:
            continue
        prompt = row["user_prompt"]
        question = "\n".join(prompt) if isinstance(prompt, list) else prompt or ""
        folded = content.casefold()
        facts = []
        for statement in row["expected_output"]:
            for line in statement.splitlines():
                terms = {word.strip(".:-/") for word in WORD.findall(line)}
                present = sorted(
                    term
                    for term in terms
                    if len(term) > 1
                    and term.casefold() not in STOP
                    and not EXPECTING.match(term)
                    and term.casefold() in folded
                )
                named = [term for term in present if LITERAL.search(term)]
                if present:
                    facts.append(tuple(named or present))
        if facts:
            found.append(Problem(row["id"], None, content, question, tuple(facts), words=True))
    return found


def taubench(data: Path) -> list[Problem]:
    """One tool output each; the question is the conversation before it.

    A fact: a value that later calls pass on and that stood nowhere in the conversation before this output.
    """
    found = []
    for row in _rows(data / "context" / "taubench_gpt4o_airline_trajectories.jsonl.gz"):
        messages = row["messages"]
        later: list[set[str]] = [set() for _ in messages]
        values: set[str] = set()
        for index in range(len(messages) - 1, -1, -1):
            later[index] = set(values)
            for call in messages[index].get("tool_calls") or ():
                values |= set(_scalars(json.loads(call["function"]["arguments"])))
        for index, message in enumerate(messages):
            if message["role"] != "tool" or len(message["content"]) < 200:
                continue
            content = message["content"]
            before = "\n".join(f"{m.get('content') or ''} {m.get('tool_calls') or ''}" for m in messages[:index])
            used = sorted(
                value
                for value in later[index]
                if len(value) > 1 and _whole(value, content) and not _whole(value, before)
            )
            if used:
                question = "\n".join(
                    m["content"] for m in messages[1:index] if m["role"] in ("user", "assistant") and m.get("content")
                )
                facts = tuple((value,) for value in used)
                found.append(Problem(f"{row['task_id']}/{row['trial']}/{index}", "json", content, question, facts))
    return found


def _scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _scalars(one)
    elif isinstance(value, list):
        for one in value:
            yield from _scalars(one)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _whole(value: str, text: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", text) is not None


def kv_retrieval(data: Path) -> list[Problem]:
    """75 random keys and values; the value of the key that is asked for."""
    found = []
    for number, row in enumerate(_rows(data / "context" / "litm_kv_retrieval_75keys.jsonl.gz")):
        content = json.dumps(dict(row["ordered_kv_records"]), indent=1)
        question = f'Extract the value of the key "{row["key"]}".'
        found.append(Problem(str(number), "json", content, question, ((row["value"],),), (row["value"],)))
    return found


def nq20(data: Path) -> list[Problem]:
    """Twenty passages, one of which has the answer."""
    found = []
    for number, row in enumerate(_rows(data / "context" / "nq_multidoc20_built.jsonl.gz")):
        docs = [f"Document [{n}] (Title: {doc['title']}) {doc['text']}" for n, doc in enumerate(row["docs"], start=1)]
        content = "\n\n".join(docs)
        answers = tuple(answer for answer in row["answers"] if answer.casefold() in content.casefold())
        if answers:
            found.append(Problem(str(number), "prose", content, row["question"], answers=answers))
    return found


def qmsum(data: Path) -> list[Problem]:
    """A meeting and a specific query; the share of the gold turns' text that is kept."""
    found = []
    for number, row in enumerate(_rows(data / "context" / "qmsum_val.jsonl.gz")):
        turns = [f"{turn['speaker']}: {turn['content']}" for turn in row["meeting_transcripts"]]
        content = "\n".join(turns)
        for which, query in enumerate(row["specific_query_list"]):
            gold: list[str] = []
            for first, last in query["relevant_text_span"]:
                gold += turns[int(first) : int(last) + 1]
            if gold:
                found.append(Problem(f"{number}/{which}", "dialogue", content, query["query"], gold=tuple(gold)))
    return found


def hotpot(data: Path) -> list[Problem]:
    """Ten paragraphs; both (all) supporting sentences. The fact is the pair: one alone does not answer."""
    found = []
    for row in _rows(data / "context" / "hotpotqa_distractor_100.jsonl.gz"):
        by_title = {doc["title"]: doc["sentences"] for doc in row["docs"]}
        content = "\n\n".join(f"{doc['title']}\n{''.join(doc['sentences'])}" for doc in row["docs"])
        support = tuple(
            by_title[title][number].strip()
            for title, number in row["supporting"]
            if title in by_title and number < len(by_title[title])
        )
        if support:
            found.append(Problem(row["id"], "prose", content, row["question"], (support,)))
    return found


def sweagent(data: Path) -> list[Problem]:
    """An observation, asked about with the task and the action.

    A fact: a file, line or error that later actions name.
    """
    found = []
    for number, row in enumerate(_rows(data / "context" / "sweagent_demo_trajectories.jsonl.gz")):
        steps = row["trajectory"]
        task = next((str(m["content"]) for m in row["history"] if m["role"] == "user"), "")
        for index, step in enumerate(steps):
            content = step["observation"]
            if len(content) < 400:
                continue
            after = "\n".join(later["action"] + "\n" + str(later.get("thought") or "") for later in steps[index + 1 :])
            facts = [(path,) for path in dict.fromkeys(PATH.findall(after)) if _whole(path, content)]
            facts += [(f"{line}:",) for line in _lines_named(steps[index + 1 :]) if f"\n{line}:" in f"\n{content}"]
            facts += [
                (error,)
                for error in dict.fromkeys(re.findall(r"\b\w+(?:Error|Exception)\b", after))
                if error in content
            ]
            if facts:
                question = f"{task[-1500:]}\n{step['action'][:500]}"
                found.append(Problem(f"{number}/{index}", None, content, question, tuple(facts)))
    return found


def _lines_named(steps: list[dict[str, Any]]) -> list[str]:
    """Line numbers that the next `edit` or `goto` names, while the same file is open."""
    named: list[str] = []
    for step in steps[:3]:
        match = re.match(r"(?:edit|goto)\s+(\d+)(?::(\d+))?", step["action"])
        if match:
            named += [number for number in match.groups() if number]
    return list(dict.fromkeys(named))


SETS: dict[str, Callable[[Path], list[Problem]]] = {
    "holmes": holmes,
    "taubench": taubench,
    "kv75": kv_retrieval,
    "nq20": nq20,
    "qmsum": qmsum,
    "hotpotqa": hotpot,
    "sweagent": sweagent,
}
