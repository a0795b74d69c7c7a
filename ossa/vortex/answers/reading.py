"""What in a question an answer depends on, read by rules (for English; see the word lists beside this file).

Of a text in another language every word is a content word, so that only nearly identical questions agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ossa.vortex.answers.lexicon import ADDRESSING, CONTRACTIONS, FRAMING, NEGATIONS, NUMERALS, canonical

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
_EDGES = "\"'`“”‘’.,;:!?()[]{}<>*"
_SENTENCE_ENDS = (".", "!", "?", ":", "\n")

ENDINGS = {"n't": "not", "'m": "am", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would", "'s": "is"}
SIGNS = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "%": "percent"}
ASKING = {"what", "which", "who", "whom", "whose", "when", "where", "why", "how"}
HOW = {"much", "many", "long", "far", "old", "often", "soon", "big", "tall", "high", "low", "fast", "well", "late"}
PERSONS = {
    **dict.fromkeys(("i", "me", "my", "mine", "myself", "we", "us", "our", "ours"), "1"),
    **dict.fromkeys(("you", "your", "yours", "yourself"), "2"),
}
TENSES = {
    **dict.fromkeys(("did", "was", "were", "had"), "past"),
    **dict.fromkeys(("will", "shall", "should", "must", "ought", "need", "needs"), "to come"),
}
MODALITIES = {"can": "may", "could": "may", "shall": "should", "do": "", "does": "", "will": ""}
INFORMING = {"tell", "know", "show", "give", "see", "check", "find", "hear", "inform", "share", "look", "learn"}
WHETHER = {"is", "are", "do", "does", "did", "was", "were", "has", "have", "am"}
BEFORE_US = {"let", "tell", "give", "show", "help", "inform", "get", "send", "bring", "call", "for", "of", "with", "to"}
RELATIONS = {"from", "to", "into", "before", "after", "than", "over", "under", "without", "except", "between", "versus"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One question, taken apart.

    Attributes:
        words: lower-case, contractions written out, in order.
        content: canonical content words in order, each once.
        framing: the framing words.
        numbers: normalised, sorted, with repeats; ordinals and clock times apart from plain ones.
        quoted: what stands in quotes, sorted.
        identifiers: names of files, addresses, versions, codes: as written, sorted.
        names: words with a capital inside a sentence, lower-case, not shortened.
        negations: the words that negate, sorted.
        asks: what is asked for: who, when, where, why, how, how much, whether; `thing` for all else.
        persons: who is spoken of, without how the assistant is addressed: 1 the asker, 2 the assistant; in order.
        act: `ask` when something is to be told, `do` for everything else.
        modality: whether one may, should or must, where that is asked.
        tense: past or to come, where an auxiliary says so.
        relations: (preposition, the content word or number after it).
    """

    words: tuple[str, ...]
    content: tuple[str, ...]
    framing: frozenset[str]
    numbers: tuple[str, ...]
    quoted: tuple[str, ...]
    identifiers: tuple[str, ...]
    names: frozenset[str]
    negations: tuple[str, ...]
    asks: str
    act: str
    modality: str
    persons: str
    tense: frozenset[str]
    relations: frozenset[tuple[str, str]]


@lru_cache(maxsize=20_000)
def read(question: str) -> Reading:
    text = _CLOCK.sub(r"\1 \2m", question.replace("’", "'"))
    words = tuple(_words(text))
    rest = ADDRESSING.sub(" ", " ".join(words)).split()
    content = [word for before, word in zip(("", *words), words, strict=False) if _is_content(word, before)]
    return Reading(
        words=words,
        content=tuple(dict.fromkeys(canonical(word) for word in content)),
        framing=frozenset(word for word in words if word in FRAMING),
        numbers=tuple(sorted(filter(None, map(_number, words)))),
        quoted=tuple(sorted(next(filter(None, found), "") for found in _QUOTED.findall(text))),
        identifiers=tuple(sorted(_identifiers(text))),
        names=frozenset(_names(text)),
        negations=tuple(sorted(word for word in words if word in NEGATIONS)),
        asks=_asks(words) or ("whether" if rest[:1] and rest[0] in WHETHER else "thing"),
        act=_act(words),
        modality=_modality(words),
        persons=_persons(" ".join(rest)),
        tense=frozenset(TENSES[word] for word in rest if word in TENSES),
        relations=frozenset(_relations(words)),
    )


def _words(text: str) -> Iterator[str]:
    for found in _WORD.findall(text.lower()):
        word = SIGNS.get(found, found)
        if word in CONTRACTIONS:
            yield from CONTRACTIONS[word]
            continue
        ending = next((one for one in ENDINGS if word.endswith(one) and len(word) > len(one)), None)
        if ending is not None:
            yield word[: -len(ending)]
            yield ENDINGS[ending]
        elif word.strip(_EDGES + "-"):
            yield word


def _is_content(word: str, before: str) -> bool:
    if word == "us":
        return before not in BEFORE_US  # then it is a country, or part of a name
    return word not in FRAMING and word not in NEGATIONS and _number(word) is None


def _number(word: str) -> str | None:
    if word in NUMERALS:
        return NUMERALS[word]
    if _NUMBER.fullmatch(word) is None:
        return None
    plain = word.replace(",", "")
    return plain.rstrip("0").rstrip(".") if plain.count(".") == 1 and plain[-1].isdigit() else plain


def _identifiers(text: str) -> Iterator[str]:
    for token in text.split():
        bare = token.strip(_EDGES)
        if _IDENTIFIER.search(bare) and not _ORDINAL.fullmatch(bare):
            yield bare


def _names(text: str) -> Iterator[str]:
    """A word with a capital that begins no sentence; `I` is none."""
    begins = True
    for token in text.split():
        bare = token.strip(_EDGES)
        if bare[:1].isupper() and not begins and bare != "I" and not bare.startswith("I'"):
            yield bare.lower().removesuffix("'s")
        begins = token.endswith(_SENTENCE_ENDS)


def _asks(words: tuple[str, ...]) -> str:
    """By the first word that asks; empty without one."""
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
    """Without the asker as the one who does it: how do I, how can one and how to ask the same."""
    return "".join(PERSONS[word] for word in _SUBJECT.sub(" ", rest).split() if word in PERSONS)


def _modality(words: tuple[str, ...]) -> str:
    found = _MODAL.search(" ".join(words))
    if found is None:
        return ""
    return "must" if found[2] else MODALITIES.get(found[1], found[1])


def _relations(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for at, word in enumerate(words):
        if word in RELATIONS:
            after = next((one for one in words[at + 1 : at + 4] if one not in FRAMING), None)
            if after is not None:
                yield word, _number(after) or canonical(after)
