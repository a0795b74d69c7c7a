"""The system prompt: what the manifest says the agent is and shall do."""

from __future__ import annotations

from collections.abc import Sequence

from ossa.manifest.layout import Keys
from ossa.manifest.place import Place

_PROMPT_FILES = (".md", ".txt", ".j2", ".jinja", ".prompt")


def read_role(root: Place, titles: Sequence[Keys], instructions: Sequence[Keys], description: str) -> str:
    """`role`, then the first instructions there are. Where both together are a bare title, the description follows.

    Raises `ManifestError` for a role that is no text.
    """
    role = next((text for path in titles if (text := root.at(*path).text())), "")
    told = next((text for path in instructions if (text := _prompt(root.at(*path)))), "")
    parts = [role] if told in role else [role, told]
    if _is_title(" ".join(parts)):
        parts.append(description)
    return "\n\n".join(part for part in parts if part)


def _is_title(text: str) -> bool:
    """Up to three words and no sentence: `security-auditor`, `Research Assistant`, nothing at all."""
    return len(text.split()) <= 3 and not text.strip().endswith((".", "!", "?"))


def _prompt(place: Place) -> str:
    """Text of a prompt; nothing for a reference to a file, which is not here to be read."""
    text = place.text_or("")
    is_file = len(text.split()) == 1 and text.lower().endswith(_PROMPT_FILES)
    return "" if is_file else text
