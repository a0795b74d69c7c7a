"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="Address of the fleet; else OSSA_URL, else the fleet that runs here.", show_default=False
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        help="API key; other users of this machine can see it, OSSA_API_KEY is safer.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, errors too.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the change is through.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")]
