"""Reads by rules what in a question an answer depends on (for English; see the word lists beside this file).

Of a text in another language every word is a content word, so that only nearly identical questions agree.
The word lists are read once a process; a line that begins with # is for people.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise

_DOUBLED = re.compile(r"([bdfgklmnprt])\1$")


def _word_lines(name: str) -> list[str]:
    text = files("ossa.vortex.answers").joinpath(name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _word_list(name: str) -> frozenset[str]:
    return frozenset(word for line in _word_lines(name) for word in line.split())


@lru_cache(maxsize=50_000)
def base(word: str) -> str:
    """The word without its plural or verb ending; comparatives and adverbs stay what they are."""
    if len(word) <= 3 or not word.isalpha() or word.endswith("ss"):
        return word
    short = word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            short = word[: -len(ending)]
            break
    if short is not word:
        short = _DOUBLED.sub(r"\1", short)
    return short[:-1] if short.endswith("e") and len(short) > 3 else short


def _groups() -> dict[str, str]:
    first_of: dict[str, str] = {}
    for line in _word_lines("alike.txt"):
        group = line.split()
        for word in group:
            first_of[word] = group[0]
            first_of.setdefault(base(word), group[0])
    return first_of


FRAMING = _word_list("framing.txt")
NEGATIONS = _word_list("negations.txt")
PREPOSITIONS = _word_list("prepositions.txt")
VERBS = _word_list("verbs.txt")
AGAIN = _word_list("again.txt")
ALIKE = _groups()
NUMERALS = dict(line.split() for line in _word_lines("numerals.txt"))
CONTRACTIONS = {line.split()[0]: line.split()[1:] for line in _word_lines("contractions.txt")}
ADDRESSING = re.compile("|".join(rf"\b{line}\b" for line in _word_lines("addressing.txt")))


def canonical(word: str) -> str:
    """One name for a content word and all that mean the same."""
    return ALIKE.get(word) or ALIKE.get(base(word)) or base(word)


_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|`([^`]+)`|(?<!\w)'([^']+)'(?!\w)")
_CLOCK = re.compile(r"(\d)(?::00)?\s*([ap])\.?m\b\.?", re.IGNORECASE)
_WORD = re.compile(r"\d+(?:[.,:]\d+)*(?:st|nd|rd|th)?|[^\W\d_]+(?:['’][^\W\d_]+)?|[$€£¥%°<>=+*^-](?=\d)|%|\S")
_NUMBER = re.compile(r"-?\d+(?:[.,:]\d+)*(?:st|nd|rd|th)?")
_IDENTIFIER = re.compile(r"[a-z][A-Z]|\d[^\W\d_]|[^\W\d_]\d|[A-Z]{2}|[_/@#\\]|\w\.\w|\w::\w|--\w")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|am|pm)?", re.IGNORECASE)
_STEPS = re.compile(
    r"\bwhat (?:do|should|must|can|would|will|are) (?:i|we|you|the steps)(?: \w+){0,4} (?:do )?(?:to|for|if) "
)
_SUBJECT = re.compile(r"\b(?:do|did|how|can|could|would|will|shall|should|must|may|where|when|why|what) (?:i|we)\b")
_MODAL = re.compile(
    r"\b(can|may|could|should|shall|must|do|does|will) (?:i|we|one|he|she|they|it)\b( (?:have|need) to)?"
)
_SYMBOL = re.compile(r"[+*/^=<>≤≥≠≈±×÷·√∈∉⊂⊃∧∨¬→←↔⇒⇐⇔~|&\\#@()\[\]{}]|!(?=\w|=|\()|(?<![^\W\d_])[-−]|[-−](?![^\W\d_])")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?!\d)")
_EDGES = "\"'`“”‘’.,;:!?()[]{}<>*"
_SENTENCE_END = re.compile(r"[!?][\"'”’)]*$|\w{4,}\.[\"'”’)]*$")
"""Not the point after an abbreviation."""

ENDINGS = {"n't": "not", "'m": "am", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would", "'s": "is"}
SIGNS = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "%": "percent"}
ASKING = {"what", "which", "who", "whom", "whose", "when", "where", "why", "how"}
HOW = {"much", "many", "long", "far", "old", "often", "soon", "big", "tall", "high", "low", "fast", "well", "late"}
PERSONS = {
    **dict.fromkeys(("i", "me", "my", "mine", "myself", "we", "us", "our", "ours"), "1"),
    **dict.fromkeys(("you", "your", "yours", "yourself"), "2"),
}
THIRD_PERSONS = {
    **dict.fromkeys(("he", "him", "his"), "he"),
    **dict.fromkeys(("she", "her", "hers"), "she"),
    **dict.fromkeys(("they", "them", "their"), "they"),
}
TENSES = {
    **dict.fromkeys(("did", "was", "were", "had"), "past"),
    **dict.fromkeys(("will", "shall", "should", "must", "ought", "need", "needs"), "to come"),
}
MODALS = {
    **dict.fromkeys(("can", "could", "may", "might"), "may"),
    **dict.fromkeys(("should", "shall", "ought"), "should"),
    "must": "must",
    **dict.fromkeys(("will", "would"), "will"),
}
MODALITIES = {"can": "may", "could": "may", "shall": "should", "do": "", "does": "", "will": ""}
INFORMING = {"tell", "know", "show", "give", "see", "check", "find", "hear", "inform", "share", "look", "learn"}
WHETHER = {"is", "are", "do", "does", "did", "was", "were", "has", "have", "am"}
BEFORE_US = {"let", "tell", "give", "show", "help", "inform", "get", "send", "bring", "call", "for", "of", "with", "to"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One question, taken apart.

    Attributes:
        words: lower-case, contractions written out, in order.
        content: canonical content words in order, each once.
        framing: the framing words.
        sequence: canonical content words, numbers, negations and third persons in order, with repeats; a participle
            is marked, so that who calls is told from who is called.
        symbols: operators, comparisons and brackets, in order; signs of currencies and % are words.
        numbers: normalised, in order; ordinals and clock times apart from plain ones.
        quoted: what stands in quotes, in order.
        identifiers: names of files, addresses, versions, codes: as written, in order.
        names: words with a capital inside a sentence, as written, and which one of that spelling it is; in order.
        asks: what is asked for: who, when, where, why, how, how much, whether; `thing` for all else.
        persons: who is spoken of, without how the assistant is addressed: 1 the asker, 2 the assistant; in order.
        act: `ask` when something is to be told, `do` for everything else.
        modality: whether one may, should or must, where that is asked.
        tense: past or to come, where an auxiliary says so.
        modals: may, should, must or will, by the auxiliaries.
        relations: (preposition, place in `sequence` of what comes after it), in order.
    """

    words: tuple[str, ...]
    content: tuple[str, ...]
    framing: frozenset[str]
    sequence: tuple[str, ...]
    symbols: str
    numbers: tuple[str, ...]
    quoted: tuple[str, ...]
    identifiers: tuple[str, ...]
    names: tuple[tuple[str, int], ...]
    asks: str
    act: str
    modality: str
    persons: str
    tense: frozenset[str]
    modals: frozenset[str]
    relations: tuple[tuple[str, int], ...]


@lru_cache(maxsize=20_000)
def read(question: str) -> Reading:
    text = _CLOCK.sub(r"\1 \2m", question.replace("’", "'"))
    words = tuple(_words(text))
    rest = ADDRESSING.sub(" ", " ".join(words)).split()
    content = [word for before, word in zip(("", *words), words, strict=False) if _is_content(word, before)]
    sequence = tuple(_in_sequence(word, before) for before, word in pairwise(("", *words)))
    return Reading(
        words=words,
        content=tuple(dict.fromkeys(canonical(word) for word in content)),
        framing=frozenset(word for word in words if word in FRAMING),
        sequence=tuple(item for item in sequence if item is not None),
        symbols="".join(_SYMBOL.findall(text)),
        numbers=tuple(filter(None, map(_number, words))),
        quoted=tuple(next(filter(None, groups), "") for groups in _QUOTED.findall(text)),
        identifiers=tuple(_identifiers(text)),
        names=tuple(_names(text)),
        asks=_asks(words) or ("whether" if rest[:1] and rest[0] in WHETHER else "thing"),
        act=_act(words),
        modality=_modality(words),
        persons=_persons(" ".join(rest)),
        tense=frozenset(TENSES[word] for word in rest if word in TENSES),
        modals=frozenset(MODALS[word] for word in rest if word in MODALS),
        relations=tuple(_relations(words, sequence)),
    )


def _words(text: str) -> Iterator[str]:
    for token in _WORD.findall(text.lower()):
        word = SIGNS.get(token, token)
        if word in CONTRACTIONS:
            yield from CONTRACTIONS[word]
            continue
        ending = next((each for each in ENDINGS if word.endswith(each) and len(word) > len(each)), None)
        if ending is not None:
            yield word[: -len(ending)]
            yield ENDINGS[ending]
        elif word.strip(_EDGES + "-"):
            yield word


def _is_content(word: str, before: str) -> bool:
    if word == "us":
        return before not in BEFORE_US  # then it is a country, or part of a name
    return word not in FRAMING and word not in NEGATIONS and _number(word) is None


def _in_sequence(word: str, before: str) -> str | None:
    """Returns the word's entry in `Reading.sequence`; None for a framing word."""
    if word in THIRD_PERSONS:
        return THIRD_PERSONS[word]
    if word in NEGATIONS or word in AGAIN:
        return word
    if word in VERBS and before and _is_content(before, ""):
        return base(word)
    if _is_content(word, before):
        return canonical(word) + ("+ed" if word.endswith("ed") and base(word) != word else "")
    return _number(word)


def _number(word: str) -> str | None:
    if word in NUMERALS:
        return NUMERALS[word]
    if _NUMBER.fullmatch(word) is None:
        return None
    return word.replace(",", "") if _THOUSANDS.match(word) else word


def _identifiers(text: str) -> Iterator[str]:
    for token in text.split():
        bare = token.strip(_EDGES)
        if _IDENTIFIER.search(bare) and not _ORDINAL.fullmatch(bare):
            yield bare


def _names(text: str) -> Iterator[tuple[str, int]]:
    """The words with a capital that begin no sentence; `I` is none."""
    seen: Counter[str] = Counter()
    begins = True
    for token in text.split():
        bare = token.strip(_EDGES).removesuffix("'s")
        seen[bare.lower()] += 1
        if bare[:1].isupper() and not begins and bare != "I" and not bare.startswith("I'"):
            yield bare, seen[bare.lower()]
        begins = _SENTENCE_END.search(token) is not None


def _asks(words: tuple[str, ...]) -> str:
    """Names what is asked for by the first question word; empty without one."""
    if _STEPS.search(" ".join(words) + " "):
        return "how"
    for at, word in enumerate(words):
        if word not in ASKING:
            continue
        after = words[at + 1] if at + 1 < len(words) else ""
        if word == "how":
            return f"how {after}" if after in HOW else "how"
        if word in ("what", "which"):
            return "when" if after in ("time", "day", "date") else "thing"
        return "who" if word in ("whom", "whose") else word
    return ""


def _act(words: tuple[str, ...]) -> str:
    asked = any(word in ASKING or word in INFORMING for word in words)
    return "ask" if asked or (words[:1] and words[0] in WHETHER) else "do"


def _persons(rest: str) -> str:
    """Lists the persons spoken of, without the asker as the acting person unless the assistant is spoken of too.

    How do I, how can one and how to ask the same; did I call you and did you call me do not.
    """
    persons = [PERSONS[word] for word in rest.split() if word in PERSONS]
    if "2" in persons:
        return "".join(persons)
    return "".join(PERSONS[word] for word in _SUBJECT.sub(" ", rest).split() if word in PERSONS)


def _modality(words: tuple[str, ...]) -> str:
    match = _MODAL.search(" ".join(words))
    if match is None:
        return ""
    return "must" if match[2] else MODALITIES.get(match[1], match[1])


def _relations(words: tuple[str, ...], sequence: tuple[str | None, ...]) -> Iterator[tuple[str, int]]:
    place = 0
    for word, item in zip(words, sequence, strict=True):
        if word in PREPOSITIONS:
            yield word, place
        place += item is not None
