"""An encoder of the caller's takes the place of the word vectors."""

from __future__ import annotations

import numpy as np
import pytest

from ossa.contracts.errors import InvalidRequest
from ossa.vortex import compress

STORY = " ".join(
    f"Sentence number {n} tells of the {('harbour', 'mill', 'forge')[n % 3]} in its own words." for n in range(60)
)


def knows_colours(texts: list[str]) -> np.ndarray:  # type: ignore[type-arg]
    """Two dimensions: about colour, and not. It sees what no word in common shows."""
    return np.asarray([[1.0, 0.0] if "scarlet" in text or "hue" in text else [0.0, 1.0] for text in texts])


def test_what_it_finds_alike_stays() -> None:
    content = f"{STORY} The gate was scarlet. {STORY.replace('Sentence', 'Phrase')}"
    assert "scarlet" not in compress(content, "Which hue had it?", reduction=0.97, floor=False).text
    assert "scarlet" in compress(content, "Which hue had it?", reduction=0.97, floor=False, encoder=knows_colours).text


@pytest.mark.parametrize(
    "broken", [lambda texts: [1.0] * len(texts), lambda texts: [[1.0]], lambda texts: [[float("nan")]] * len(texts)]
)
def test_what_is_no_vector_a_text_is_said(broken: object) -> None:
    with pytest.raises(InvalidRequest, match="encoder"):
        compress(STORY, "the mill?", encoder=broken)  # type: ignore[arg-type]
