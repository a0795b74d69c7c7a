"""An agent back to YAML."""

from __future__ import annotations

from typing import Any

import yaml

from ossa.contracts.agent_spec import AgentSpec
from ossa.manifest.compose import compose
from ossa.manifest.scalars import BASED_INT, FLOAT

_WIDTH = 100


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes what YAML 1.1 or 1.2 would take for something else than text, writes prompts as blocks, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> yaml.Node:
    is_block = "\n" in text and text.isascii() and all(_is_block_line(line) for line in text.split("\n"))
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if is_block else None)  # type: ignore[no-any-return]


def _is_block_line(line: str) -> bool:
    return line.isprintable() and not line.endswith(" ")


_Dumper.add_representer(str, _text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", BASED_INT, ["0"])
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def dump(spec: AgentSpec) -> str:
    """The manifest `spec` was read from, every field of it, variables unexpanded, without its comments.

    Reading the text again gives the same digest. A spec that was made by hand
    is written in the newest dialect.
    """
    document = spec.document or compose(spec)
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text
