"""Whether a served answer was an answer to the question. It shares no code with the cache's own check."""

from __future__ import annotations

import calendar
import re
from functools import lru_cache
from pathlib import Path
from zoneinfo import available_timezones

from benchmarks.answers.utterances import OUT_OF_SCOPE, Utterance

_TOKEN = re.compile(r"\d+|[a-z]+")
_NUMERALS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_SAME = {
    **{word: str(number) for number, word in enumerate(_NUMERALS, 1)},
    **{word: str(number) for number, word in enumerate(_ORDINALS, 1)},
    **{"gasoline": "gas", "fuel": "gas", "cellphone": "phone", "females": "female", "males": "male"},
}


def slots(text: str) -> frozenset[str]:
    """Numbers and the words of `slot_values.txt`. `one` is a number here, though it seldom is."""
    tokens = {_SAME.get(token, token) for token in _TOKEN.findall(text.lower())}
    return frozenset(token for token in tokens if token in _values() or (token.isdigit() and token != "1"))


def judge(asked: Utterance, served: Utterance) -> str | None:
    """None for a right answer, else `intent`, `slots`, or `unlabelled`: two out-of-scope utterances.

    Nothing says whether those ask the same; they count as false all the same, and are counted apart.
    """
    if asked.label == served.label == OUT_OF_SCOPE:
        return "unlabelled"
    if not asked.same(served):
        return "intent"
    return "slots" if slots(asked.text) != slots(served.text) else None


@lru_cache(maxsize=1)
def _values() -> frozenset[str]:
    words = _listed("slot_values.txt")
    words |= {name.lower() for name in (*calendar.day_name, *calendar.month_name) if name}
    zones = {part.lower() for zone in available_timezones() for part in re.split(r"[/_]", zone) if len(part) > 3}
    return frozenset(words | (zones - _listed("not_places.txt"))) - {"may"}


def _listed(name: str) -> set[str]:
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    return {word for line in lines if not line.startswith("#") for word in line.split()}
