"""Contents made from a seed, of any length: a service's log, a tool's JSON and a report in prose."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from ossa.vortex.tokens import counter_for

SERVICES = ("checkout", "ledger", "search", "mailer", "gateway", "inventory")
REASONS = ("connection refused", "certificate has expired", "disk quota exceeded", "deadline exceeded")
TOWNS = ("Aveiro", "Bergen", "Cork", "Delft", "Essen", "Faro", "Ghent", "Huesca")
GOODS = ("copper wire", "winter wheat", "roof slate", "cold storage", "rail freight", "spring water")
TRENDS = ("rose", "fell", "held steady", "doubled", "was revised downwards", "came in below the plan")
CAUSES = (
    "after the harbour was closed for repairs",
    "because two large orders were put off until autumn",
    "although the mild winter had kept the costs of heating low",
    "as the new contract with the carriers came into force",
    "while the council was still discussing the tariff",
)


@dataclass(frozen=True)
class Made:
    """A content and what it is wanted for."""

    kind: str
    content: str
    question: str


def made(kind: str, tokens: int, seed: int) -> Made:
    """A content of at least so many tokens and hardly more. The same arguments give the same text."""
    unit, question, join = KINDS[kind]
    rng = random.Random(f"{kind} {seed}")
    counter = counter_for()
    units = [unit(rng, number) for number in range(16)]
    total = counter.count(join(units))
    while total < tokens:
        each = total / len(units)
        wanted = max(1, int((tokens - total) / each))
        units += [unit(rng, len(units) + number) for number in range(wanted)]
        total = counter.count(join(units))
    return Made(kind, join(units), question)


def _log_line(rng: random.Random, number: int) -> str:
    when = f"2025-06-12T10:{number // 60 % 60:02}:{number % 60:02}.{rng.randrange(1000):03}Z"
    service = rng.choice(SERVICES)
    if rng.random() < 0.01:
        return f"{when} ERROR {service} order {rng.randrange(10**6)} failed: {rng.choice(REASONS)}"
    if rng.random() < 0.05:
        return f"{when} WARN  {service} retry {rng.randrange(1, 5)} of 5 after {rng.randrange(50, 900)} ms"
    return (
        f"{when} INFO  {service} request {rng.randrange(10**6)} from 10.0.{rng.randrange(256)}.{rng.randrange(256)} "
        f"served in {rng.randrange(1, 400)} ms"
    )


def _record(rng: random.Random, number: int) -> str:
    return json.dumps(
        {
            "id": f"ord_{number:05}",
            "customer": f"cus_{rng.randrange(16**8):08x}",
            "town": rng.choice(TOWNS),
            "status": rng.choices(("delivered", "in transit", "failed"), (80, 18, 2))[0],
            "items": [
                {"sku": f"{rng.randrange(10**6):06}", "name": rng.choice(GOODS), "quantity": rng.randrange(1, 9)}
            ],
            "total": round(rng.uniform(5, 900), 2),
        }
    )


def _paragraph(rng: random.Random, number: int) -> str:
    year = rng.randrange(1995, 2025)
    sentences = [
        f"In {year + n} the trade in {rng.choice(GOODS)} at {rng.choice(TOWNS)} {rng.choice(TRENDS)} "
        f"{rng.choice(CAUSES)}, to {rng.randrange(100, 9000)} tonnes."
        for n in range(rng.randrange(3, 6))
    ]
    return " ".join((f"Section {number + 1}.", *sentences))


def _lines(units: list[str]) -> str:
    return "\n".join(units)


def _array(units: list[str]) -> str:
    return f'{{"orders": [{", ".join(units)}]}}'


def _paragraphs(units: list[str]) -> str:
    return "\n\n".join(units)


KINDS: dict[str, tuple[Callable[[random.Random, int], str], str, Callable[[list[str]], str]]] = {
    "log": (_log_line, "which orders failed, and why?", _lines),
    "json": (_record, "which orders to Bergen have failed?", _array),
    "prose": (_paragraph, "how did the trade in roof slate at Cork develop?", _paragraphs),
}
