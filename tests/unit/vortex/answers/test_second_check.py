"""Which questions may share an answer: those that differ in how they ask, and none that differ in what."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossa.vortex.answers.agreement import disagreement
from ossa.vortex.answers.pair_model import pair_model
from ossa.vortex.answers.reading import read
from ossa.vortex.answers.second_check import likelihood

ENOUGH = 0.8


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the refund policy for annual plans?", "tell me the refund policy for annual plans"),
        ("How do I reset my router's password?", "How can I reset the password of my router?"),
        ("Please set a 5 minute timer.", "can you set a timer for five minutes"),
        ("what's the capital of Australia", "What is Australia's capital?"),
        ("When does the store open on Monday?", "tell me when the store will open on monday"),
        ("My meeting is at 3 pm, book a room", "book a room, my meeting is at 3:00pm"),
        ("why isn't my printer printing", "why is my printer not printing?"),
    ],
)
def test_what_is_only_asked_in_other_words_may_share_an_answer(one: str, other: str) -> None:
    assert disagreement(read(one), read(other)) is None
    assert likelihood(one, other, 0.95) >= ENOUGH


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("transfer $40 to my savings", "transfer $50 to my savings"),
        ("transfer 40 dollars to my savings", "transfer 40 euros to my savings"),
        ("transfer money from checking to savings", "transfer money from savings to checking"),
        ("what changed in version 3.11", "what changed in version 3.12"),
        ("is meeting on march 5", "is meeting on march 6"),
        ("is the office open on monday", "is the office open on tuesday"),
        ("what is the weather today", "what is the weather tomorrow"),
        ("what is the weather in Paris", "what is the weather in London"),
        ("translate 'good morning' to French", "translate 'good night' to French"),
        ("translate hello to French", "translate hello to Spanish"),
        ("translate from english to french", "translate from french to english"),
        ("what does src/app.py do", "what does src/api.py do"),
        ("what is error E1042", "what is error E1043"),
        ("close issue #17", "close issue #18"),
        ("can I use parseJson here", "can I use parseJSON here"),
        ("can I eat this while pregnant", "can I not eat this while pregnant"),
        ("which users are active", "which users are not active"),
        ("recipes with nuts", "recipes without nuts"),
        ("how do I enable logging", "how do I disable logging"),
        ("increase my credit limit", "decrease my credit limit"),
        ("turn the lights on", "turn the lights off"),
        ("what is the cheapest plan", "what is the most expensive plan"),
        ("which plan is cheaper", "which plan is cheapest"),
        ("why does the job fail", "when does the job fail"),
        ("what day does the store open", "what time does the store open"),
        ("who wrote this report", "when was this report written"),
        ("how many users are there", "how much do users pay"),
        ("what is your name", "what is my name"),
        ("what do you call me", "what do i call you"),
        ("schedule a meeting with Ann", "tell me the meeting scheduled with Ann"),
        ("should I sell my shares", "may I sell my shares"),
        ("did I change my oil", "should I change my oil"),
        ("delete all files", "delete files"),
        ("list files and folders", "list files or folders"),
        ("distance in 5 miles", "distance in 5 kilometers"),
        ("first president of the union", "second president of the union"),
        ("call Apple support", "call Samsung support"),
        ("in the US, who pays", "for us, who pays"),
    ],
)
def test_what_differs_in_what_is_asked_never_shares_an_answer(one: str, other: str) -> None:
    assert likelihood(one, other, 0.999) == 0.0
    assert likelihood(other, one, 0.999) == 0.0


WORDS = st.lists(
    st.sampled_from(["what", "is", "my", "the", "red", "car", "7", "not", "you", "to", "Paris", "please", "x_1", "?"]),
    max_size=8,
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(WORDS, WORDS, st.floats(0, 1))
def test_the_check_is_symmetric_and_a_likelihood(one: str, other: str, cosine: float) -> None:
    found = likelihood(one, other, cosine)
    assert 0.0 <= found <= 1.0
    assert found == pytest.approx(likelihood(other, one, cosine))


@settings(max_examples=200, deadline=None)
@given(WORDS)
def test_a_question_agrees_with_itself(question: str) -> None:
    assert disagreement(read(question), read(question)) is None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_can_be_read(text: str) -> None:
    read(text)
    assert likelihood(text, "what is my balance", 0.9) <= 1.0


@pytest.mark.parametrize("piece", ["'", '"', "“", "a/", "what can i ", "1.", "A.b", "can you "])
def test_a_long_hostile_text_is_read_in_bounded_time(piece: str) -> None:
    text = (piece * 2000)[:2000]
    assert likelihood(text, text[:-1] + "z", 0.9) <= 1.0
    assert likelihood(piece * 100_000, "what", 0.9) == 0.0


def test_a_framing_word_that_one_side_lacks_makes_no_pair_more_alike() -> None:
    assert all(weight <= 0 for weight in pair_model().framing.values())
