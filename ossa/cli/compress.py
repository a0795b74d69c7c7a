"""`ossa compress`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ossa.cli.session import Session, local_command
from ossa.contracts.errors import InvalidRequest

STDIN = Path("-")


@local_command
def compress(
    session: Session,
    path: Annotated[Path, typer.Argument(help="A text file; - reads standard input.", allow_dash=True)] = STDIN,
    question: Annotated[str, typer.Option("--question", "-q", help="What the text is wanted for.")] = "",
    reduction: Annotated[
        float | None, typer.Option(help="Share of the tokens to leave out, 0 to below 1; default 0.85.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Tokens the result may have, instead of --reduction.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="json, table, log, stack, shell, diff, code, prose or dialogue.")
    ] = None,
    floor: Annotated[
        bool, typer.Option("--floor/--no-floor", help="Give more room where too much would be lost.")
    ] = True,
) -> None:
    """Make a text shorter for a model, by what it is and what is asked of it. Needs no fleet."""
    # numpy and the word vectors are loaded by this command alone.
    from ossa.vortex import compress as compress_text

    short = compress_text(
        _read(path),
        question,
        reduction=reduction,
        budget_tokens=budget,
        kind=kind,  # type: ignore[arg-type]  # checked there, with a message that lists the kinds
        floor=floor,
    )
    session.terminal.result(short.model_dump() | {"reduction": round(short.reduction, 4)}, text=short.text)
    session.terminal.note(
        f"{short.tokens_before:,} tokens before, {short.tokens_after:,} after ({short.reduction:.0%} less); "
        f"fidelity {short.fidelity:.2f}{'; the floor gave more room than was asked for' * short.widened}"
    )


def _read(path: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}", param="path") from error
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not UTF-8 at byte {error.start}", param="path") from error
