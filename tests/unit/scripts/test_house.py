"""What `scripts.house` counts, and the limits that this repository keeps."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from scripts.house.lines import FolderLines, count_lines
from scripts.house.rules import Module, import_circles, long_functions, read_modules, wide_constructors

ROOT = Path(__file__).parents[3]
FOLDERS = ("ossa", "lab", "jobs")


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return read_modules(FOLDERS, ROOT)


def test_no_function_is_longer_than_sixty_lines(modules: list[Module]) -> None:
    assert [str(offence) for offence in long_functions(modules, 60)] == []


def test_no_constructor_has_more_than_eight_parameters_without_a_reason(modules: list[Module]) -> None:
    assert [str(offence) for offence in wide_constructors(modules, 8)] == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert import_circles(FOLDERS) == []


def test_a_comment_in_the_signature_is_a_reason_for_many_parameters() -> None:
    source = "class A:\n    def __init__(self, a, b):{}\n        pass\n"
    for comment, names in (("", ["A.__init__"]), ("  # parameters: a row of the table", [])):
        text = source.format(comment)
        found = wide_constructors([Module("a.py", text, ast.parse(text))], 1)
        assert [offence.name for offence in found] == names


BODY = "".join(f"    value_{n} = compute(number={n})\n" for n in range(20))


@pytest.fixture
def house(tmp_path: Path) -> Path:
    write(tmp_path, "ossa/routing/old_name.py", "def kept():\n" + BODY)
    write(
        tmp_path,
        "ossa/agent/turn.py",
        "def one():\n    return 'the first of two'\n\n\ndef two():\n    return 'a second'\n",
    )
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def test_a_renamed_file_is_moved_and_an_edited_line_in_it_is_rewritten(house: Path) -> None:
    (house / "lab").mkdir()
    git(house, "mv", "ossa/routing/old_name.py", "lab/new_name.py")
    write(house, "lab/new_name.py", "def renamed_function():\n" + BODY)
    lines = count_lines("HEAD", FOLDERS, root=house)
    assert lines["ossa/routing"] == FolderLines(before=21, now=0, moved_out=20, gone=1)
    assert lines["lab"] == FolderLines(before=0, now=21, moved_in=20, written=1)


def test_a_line_that_went_to_another_file_is_moved_and_one_without_an_equal_is_gone(house: Path) -> None:
    write(house, "ossa/agent/turn.py", "def one():\n    return 'the first of two'\n")
    write(house, "ossa/agent/other.py", "class Other:\n    def it(self):\n        return 'a second'\n")
    git(house, "add", "-A")
    lines = count_lines("HEAD", FOLDERS, root=house)["ossa/agent"]
    assert (lines.before, lines.now) == (6, 5)
    assert (lines.moved, lines.gone, lines.written) == (1, 3, 2)
    assert lines.deleted == 1


def test_a_line_that_leaves_for_the_tests_is_not_deleted(house: Path) -> None:
    write(house, "ossa/agent/turn.py", "")
    write(house, "tests/support/turns.py", "def one():\n    return 'the first of two'\n")
    git(house, "add", "-A")
    lines = count_lines("HEAD", FOLDERS, root=house)["ossa/agent"]
    assert lines.moved_out == 4  # the line that was found, and the short and blank ones below it
    assert lines.before - lines.now == lines.moved_out + lines.gone


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "base")


def git(root: Path, *arguments: str) -> None:
    subprocess.run(("git", *arguments), cwd=root, check=True, capture_output=True)
