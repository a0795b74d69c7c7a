"""A document to an `AgentSpec`: each field from the places where dialects keep it to its value. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast, get_args

from ossa.contracts.agent_spec import AgentSpec, Autonomy, Limits, ModelPreference, Tier, ToolRef
from ossa.contracts.fleet import POOL_ALIASES, POOLS
from ossa.manifest.bounds import MAX_NAME, MAX_TOOLS
from ossa.manifest.dialects import Keys, Layout, Rule, Unit
from ossa.manifest.dump import digest
from ossa.manifest.place import Place, unresolved


def convert(root: Place, dialect: str, layout: Layout) -> AgentSpec:
    """Raises `ManifestError` for a missing part or name, and for a limit or parameter that is wrong."""
    for path in layout.required:
        if not isinstance(root.at(*path).value, dict):
            raise root.at(*path).fail("a mapping")
    description = _first(root, layout.descriptions)
    return AgentSpec(
        name=_name(root, layout.names),
        version=_first(root, layout.versions) or "0.0.0",
        dialect=dialect,
        description=description,
        role=read_role(root, layout.titles, layout.instructions, description),
        model=read_model(root, layout.models),
        tools=read_tools(root, layout.tools),
        capabilities=read_capabilities(root, layout.capabilities),
        limits=read_limits(root, layout.limits),
        autonomy=read_autonomy(root, layout.autonomies),
        pool=read_pool(root, layout.pools, layout.domains),
        labels=read_labels(root, layout.labels),
        annotations=read_labels(root, layout.annotations),
        document=root.value,
        source=f"{root.tree.source}:{root.tree.line(()) or 1}",
        digest=digest(root.value),
    )


def _first(root: Place, paths: Sequence[Keys]) -> str:
    return next((text for path in paths if (text := root.at(*path).text())), "")


def _name(root: Place, paths: Sequence[Keys]) -> str:
    place = next((root.at(*path) for path in paths if root.at(*path).text()), root.at(*paths[0]))
    name = place.text("a name")
    if not name:
        raise place.fail("a name")
    if "{{" in name or "${" in name:
        raise place.fail("a name without placeholders", problem=f"is {name[:60]!r}: an unfilled template")
    if len(name) > MAX_NAME or not name.isprintable():
        raise place.fail(f"a name of at most {MAX_NAME} printable characters on one line")
    return name


_PROMPT_FILES = (".md", ".txt", ".j2", ".jinja", ".prompt")


def read_role(root: Place, titles: Sequence[Keys], instructions: Sequence[Keys], description: str) -> str:
    """`role`, then the first instructions there are. Where both together are a bare title, the description follows.

    Raises `ManifestError` for a role that is no text.
    """
    role = next((text for path in titles if (text := root.at(*path).text())), "")
    prompt = next((text for path in instructions if (text := _prompt(root.at(*path)))), "")
    parts = [role] if prompt in role else [role, prompt]
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


def read_model(root: Place, paths: Sequence[Keys]) -> ModelPreference:
    """From `{provider, model|name, temperature, maxTokens, …}`, `{…, parameters: {…}}` or the bare name.

    A variable that is not set and has no default counts as not written.
    Raises `ManifestError` for a parameter that is no number.
    """
    for path in paths:
        place = root.at(*path).followed()
        if isinstance(place.value, dict):
            return _from_mapping(place)
        name = _set_word(place)
        if name:
            provider = _set_word(root.at(*path[:-1], "provider"))
            return ModelPreference(tier=guess_tier(name), provider=provider, model=name)
    return ModelPreference()


def _from_mapping(place: Place) -> ModelPreference:
    name = next((word for key in ("model", "name", "id") if (word := _set_word(place.at(key)))), None)
    tier = _set_word(place.at("tier"))
    return ModelPreference(
        tier=cast(Tier, tier) if tier in TIERS else guess_tier(name),
        provider=_set_word(place.at("provider")),
        model=name,
        temperature=_parameter(place, "temperature").real(0, "a number of at least 0"),
        max_tokens=_parameter(place, "maxTokens", "max_tokens").whole(1),
        top_p=_parameter(place, "topP", "top_p").real(0, "a number from 0 to 1"),
    )


def _parameter(place: Place, *names: str) -> Place:
    """The first of `names` that is written, here or under `parameters`."""
    spots = [spot.at(name) for spot in (place, place.at("parameters")) for name in names]
    return next((spot for spot in spots if spot.value is not None), spots[0])


def _set_word(place: Place) -> str | None:
    text = place.text_or("")
    return None if not text or unresolved(text) else text


TIERS: tuple[str, ...] = get_args(Tier)

_MODEL_WORDS: tuple[tuple[Tier, str], ...] = (
    # What a model is made for says more than its size, and `gpt-5-mini` is mini before it is gpt-5.
    ("specialized", r"embed(?:ding)?s?|codex|codestral|devstral|coder|codellama|starcoder"),
    ("specialized", r"whisper|tts|dall-e|vision|ocr|rerank(?:er)?|guard|moderation|med(?:gemma|palm)?|sql(?:coder)?"),
    ("lightweight", r"mini|nano|micro|tiny|small|lite|flash|haiku|instant|turbo-instruct|ministral|smol\w*|phi|gemma"),
    ("lightweight", r"gpt-3(?:\.5)?|gpt-35|claude-2|claude-instant|[0-8](?:\.\d+)?b|\d+m"),
    ("premium", r"opus|ultra|pro|max|o1|o3|gpt-4\.5|gpt-5(?:\.\d+)?|grok-4|reasoner|r1|405b|behemoth"),
)
_MODEL_TABLE = tuple((tier, re.compile(rf"(?:^|[^a-z0-9])(?:{words})(?:$|[^a-z0-9])")) for tier, words in _MODEL_WORDS)
_MAX_MODEL_NAME = 200


def guess_tier(model: str | None) -> Tier:
    """`standard` where the name says nothing.

    >>> guess_tier("anthropic.claude-3-5-haiku-20241022-v1:0"), guess_tier("gpt-4o-mini"), guess_tier("gpt-4o")
    ('lightweight', 'lightweight', 'standard')
    """
    name = (model or "").lower()[:_MAX_MODEL_NAME]
    return next((tier for tier, pattern in _MODEL_TABLE if pattern.search(name)), "standard")


_TOOL_NAMES = ("name", "id", "server", "namespace", "type")
_SEVERAL = ("toolNames", "tool_names", "tools")


def read_tools(root: Place, paths: Sequence[Keys]) -> tuple[ToolRef, ...]:
    """The tools in all of `paths`; of two with one name the first.

    A tool is a word, a mapping with a name, `{type: function, function: {…}}`,
    an entry of a mapping by name (or of a list in one), or an MCP server, which stands for the tools
    it lists or else for itself. Variables in a tool's configuration are not
    expanded: they tend to be secrets. Raises `ManifestError` beyond bounds.
    """
    tools: dict[str, ToolRef] = {}
    for path in paths:
        place = root.at(*path)
        for tool in _tools(place):
            if len(tool.name) > MAX_NAME:
                raise place.fail(f"at most {MAX_NAME} characters", problem="has a tool with a longer name")
            tools.setdefault(tool.name, tool)
            if len(tools) > MAX_TOOLS:
                raise place.fail(f"at most {MAX_TOOLS}", problem="has more tools than that")
    return tuple(tools.values())


def _tools(place: Place) -> Iterator[ToolRef]:
    for item in place.items():
        yield from _tool(item.followed())
    for name, entry in place.entries():
        if isinstance(entry.value, list):
            yield from _tools(entry)
        else:
            yield _named(name, entry.followed())


def _tool(place: Place) -> Iterator[ToolRef]:
    if not isinstance(place.value, dict):
        name = place.text_or("")
        if name:
            yield ToolRef(name=name)
        return
    if isinstance(place.at("function").value, dict):
        place = place.at("function")
    listed = next((items for key in _SEVERAL if (items := place.at(key).items())), [])
    names = [word for item in listed if (word := item.at("name").text_or("") or item.text_or(""))]
    own = next((text for key in _TOOL_NAMES if (text := place.at(key).text_or(""))), "")
    if names:
        # One server may list thousands: each of its tools says where it lives, and no more.
        home = {key: text for key in ("type", "server") if 0 < len(text := place.at(key).text_or("")) <= MAX_NAME}
        yield from (ToolRef(name=name, config=home) for name in names)
    elif own:
        yield _named(own, place)


def _named(name: str, place: Place) -> ToolRef:
    config = place.value if isinstance(place.value, dict) else {}
    return ToolRef(
        name=name,
        description=place.at("description").text_or(""),
        config={key: value for key, value in config.items() if key not in ("name", "description")},
    )


_CAPABILITY_NAMES = ("name", "id", "capability")
_ABOUT_FORM = {"inputFormats", "outputFormats", "input_formats", "output_formats", "policy", "tokenEfficiency"}
"""Keys of a capabilities mapping that say how, not what."""


def read_capabilities(root: Place, paths: Sequence[Keys]) -> tuple[str, ...]:
    """The names in all of `paths`, each once, in the order written.

    A list holds words or mappings with a name; a mapping groups such lists
    (`domains`, `operations`, `primary`, …) or switches words on (`streaming: true`).
    """
    words = (word for path in paths for word in _words(root.at(*path)))
    return tuple(dict.fromkeys(words))


def _words(place: Place) -> Iterator[str]:
    if not isinstance(place.value, dict):
        yield from _listed(place)
        return
    for key, entry in place.entries():
        if entry.value is True:
            yield key
        elif key not in _ABOUT_FORM:
            yield from _listed(entry)


def _listed(place: Place) -> Iterator[str]:
    for item in place.items() or [place]:
        item = item.followed()
        if isinstance(item.value, dict):
            word = next((text for name in _CAPABILITY_NAMES if (text := item.at(name).text_or(""))), "")
        else:
            word = item.value.strip() if isinstance(item.value, str) else ""
        if word:
            yield word


_CURRENCIES = {"", "USD", "US$", "$"}


def read_limits(root: Place, table: Mapping[str, tuple[Rule, ...]]) -> Limits:
    """Every written rule is checked; the first that holds a value counts. Raises `ManifestError`."""
    limits: dict[str, float | int] = {}
    for name, rules in table.items():
        values = [value for rule in rules if (value := _limit(root.at(*rule.path), rule.unit)) is not None]
        if values:
            limits[name] = values[0]
    return Limits.model_validate(limits)


def _limit(place: Place, unit: Unit) -> float | int | None:
    if place.value is None:
        return None
    if unit is Unit.USD:
        _check_currency(place)
        return place.real(0, "an amount in US dollars of at least 0")
    if unit is Unit.SECONDS:
        return place.seconds()
    if unit is Unit.MILLISECONDS:
        return place.seconds(0.001)
    return place.whole(1)


def _check_currency(amount: Place) -> None:
    """An amount in another currency cannot be enforced: costs are counted in US dollars."""
    currency = Place.root(amount.tree, amount.env).at(*map(str, amount.path[:-1])).at("currency")
    if currency.text_or("").upper() not in _CURRENCIES:
        raise currency.fail("USD, in which costs are counted")


_LEVELS: dict[str, Autonomy] = {
    **dict.fromkeys(("autonomous", "full", "fully_autonomous", "high", "unsupervised"), "autonomous"),
    **dict.fromkeys(("semi_autonomous", "semi", "medium", "collaborative", "partial"), "semi_autonomous"),
    **dict.fromkeys(
        ("supervised", "assisted", "manual", "low", "none", "human_in_the_loop", "hitl", "advisory"), "supervised"
    ),
}
_APPROVALS = ("approval_required", "approvalRequired", "humanApproval", "human_approval")


def read_autonomy(root: Place, paths: Sequence[Keys]) -> Autonomy:
    """The first level that is known; without one, `supervised` where all actions want approval.

    Unknown levels are kept in the document and read as unspecified.
    """
    for path in paths:
        place = root.at(*path)
        for spot in (place.at("level"), place.at("mode"), place):
            word = spot.text_or("").lower().replace("-", "_").replace(" ", "_")
            if word in _LEVELS:
                return _LEVELS[word]
        if any(place.at(key).value is True for key in _APPROVALS):
            return "supervised"
    return "unspecified"


_DOMAINS: dict[str, str] = {
    **dict.fromkeys(
        ("infrastructure", "devops", "development", "integration", "optimization", "performance", "api"), "foundation"
    ),
    **dict.fromkeys(("cicd", "platform", "testing", "frontend", "backend", "engineering", "worker"), "foundation"),
    **dict.fromkeys(("security", "compliance", "audit", "trust", "incident", "validation", "risk"), "security"),
    **dict.fromkeys(("vulnerability", "moderation", "healer", "monitor", "auditor"), "security"),
    **dict.fromkeys(("data", "analytics", "analysis", "research", "ml", "ai", "intelligence"), "intelligence"),
    **dict.fromkeys(("cost", "finops", "knowledge", "cognitive", "trainer", "reasoning", "analyst"), "intelligence"),
    **dict.fromkeys(("governance", "policy", "coordination", "orchestration", "federation"), "federation"),
    **dict.fromkeys(("orchestrator", "communication", "governor", "workflow", "collaboration"), "federation"),
    **dict.fromkeys(("documentation", "marketplace", "community", "education", "onboarding", "support"), "community"),
    **dict.fromkeys(("certification", "customer", "content", "sales", "marketing"), "community"),
}
_WORD = re.compile(r"[a-z]+")


def read_pool(root: Place, pools: Sequence[Keys], domains: Sequence[Keys]) -> str | None:
    """The pool that is named, else the first domain word that is known, else None (any pool)."""
    for path in pools:
        name = root.at(*path).text_or("").lower()
        name = POOL_ALIASES.get(name, name)
        if name in POOLS:
            return name
    for path in domains:
        for text in _texts(root.at(*path)):
            for word in _WORD.findall(text.lower().replace("ci-cd", "cicd")):
                if word in _DOMAINS:
                    return _DOMAINS[word]
    return None


def _texts(place: Place) -> list[str]:
    return [item.text_or("") for item in place.items() or [place]]


def read_labels(root: Place, paths: Sequence[Keys]) -> dict[str, str]:
    """Scalars as text, as written. Lists of words become one text with commas; what nests stays in the document."""
    for path in paths:
        place = root.at(*path)
        if isinstance(place.value, dict):
            labels = {key: _label_text(entry) for key, entry in place.entries()}
            return {key: text for key, text in labels.items() if text is not None}
    return {}


def _label_text(place: Place) -> str | None:
    value = place.value
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(item.text_or("") for item in place.items())
    return None if isinstance(value, dict) else place.text_or("")
