"""The manifests that come with the package."""

from __future__ import annotations

from importlib.resources import files

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.fleet import POOLS
from ossa.manifest.load import read_agent


def catalogue() -> dict[str, tuple[AgentSpec, ...]]:
    """Our own agents by pool, every pool among them, the most general first. Their tools are all built in.

    Reading them takes some 20 ms; the environment has no say in it.
    """
    shelves: dict[str, list[AgentSpec]] = {pool: [] for pool in POOLS}
    for file in sorted(files("ossa.manifest").joinpath("catalogue").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            spec = read_agent(file.read_bytes(), env={}).model_copy(update={"source": f"catalogue/{file.name}"})
            shelves[spec.pool or POOLS[0]].append(spec)
    return {pool: tuple(specs) for pool, specs in shelves.items()}
