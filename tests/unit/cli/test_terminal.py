"""What goes to which stream, and in which form."""

from __future__ import annotations

import io

from rich.console import Console

from ossa.cli.terminal import Terminal
from ossa.contracts.errors import InvalidRequest


def test_a_table_in_a_pipe_is_plain_columns_of_any_width() -> None:
    out = io.StringIO()
    Terminal(as_json=False, out=out).table(("name", "n"), [("x" * 300, 1), ("[red]", 0.5), ("two\nlines", None)])
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["name", "n"]
    assert lines[1].split() == ["x" * 300, "1"]
    assert lines[2].split() == ["[red]", "0.5"]
    assert lines[3] == "two lines"


def test_a_table_on_a_terminal_shows_text_as_it_is() -> None:
    out = io.StringIO()
    terminal = Terminal(as_json=False, out=out)
    terminal.out = Console(file=out, force_terminal=True, width=60, color_system=None)
    terminal.table(("name",), [("[red]x[/red]",)])
    assert "[red]x[/red]" in out.getvalue()


def test_an_error_is_one_line_that_names_the_field() -> None:
    err = io.StringIO()
    Terminal(as_json=False, err=err).error(InvalidRequest("too\nlong " + "x" * 200, param="messages"))
    assert err.getvalue() == "ossa: too long " + "x" * 200 + " (messages)\n"


def test_json_output_has_no_remarks() -> None:
    err = io.StringIO()
    Terminal(as_json=True, err=err).note("a remark")
    assert err.getvalue() == ""
