"""Decisions have one form (docs/decisions/README.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "docs/decisions"
DECISIONS = sorted(FOLDER.glob("0*.md"))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_the_form_of_the_template_and_is_listed(path: Path) -> None:
    text = path.read_text()
    title = re.match(r"# (\d+)\. (.+)\n\n- Status: (accepted|superseded by \d+)\n- Date: \d{4}-\d\d-\d\d\n\n## ", text)
    assert title and int(title[1]) == int(path.name[:4])
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[:2] == ["Context", "Decision"] and "Consequences" in headings
    assert [line for line in text.splitlines() if len(line) > 120] == []
    assert f"[{title[2]}]({path.name})" in (FOLDER / "README.md").read_text()
