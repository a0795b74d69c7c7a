"""A file that is not in the form it should be is refused with its name and what it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.routing.forms import choice_file, is_choice, labels_file
from ossa.contracts.errors import InvalidRequest


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "split, text, label"),
        ("split,text\ntrain,hello\n", "columns label"),
        ("split,text,label\ntrain,hello,greet\n", "train and test"),
    ],
)
def test_a_labels_file_that_lacks_something_is_refused(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(content)
    with pytest.raises(InvalidRequest, match=said) as refused:
        labels_file(file)
    assert "mine.csv" in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "split, prompt"),
        ("split,prompt\ntrain,hello\n", r"score\|MODEL"),
        ("split,prompt,score|a\ntrain,hello,1\n", r"cost_usd\|MODEL"),
        ("split,prompt,score|a,cost_usd|a\ntrain,hello,good,1\ntest,x,1,1\n", "'good'.*score.a.*no number"),
        ("split,prompt,score|a,cost_usd|a\ntrain,hello,1,1\n", "train and test"),
    ],
)
def test_a_model_choice_file_that_lacks_something_is_refused(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(content)
    with pytest.raises(InvalidRequest, match=said) as refused:
        choice_file(file)
    assert "mine.csv" in str(refused.value)


def test_the_form_is_told_by_the_columns(tmp_path: Path) -> None:
    labels, choice = tmp_path / "labels.csv", tmp_path / "choice.csv"
    labels.write_text("split,text,label\ntrain,the score| is fine,greet\n")
    choice.write_text("split,prompt,score|a,cost_usd|a\ntrain,hello,1,0.1\n")
    assert (is_choice(labels), is_choice(choice)) == (False, True)
