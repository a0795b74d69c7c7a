"""`ossa scale` without a size, and `ossa alert`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from ossa.cli import options
from ossa.cli.exit_code import ExitCode
from ossa.cli.session import connected
from ossa.cli.terminal import Terminal
from ossa.contracts.errors import NotFound
from ossa.contracts.scaling import HORIZONS_S, Forecast, PoolDecision, PoolStatus, ScaleDecision
from ossa.sdk.client import Client
from ossa.sdk.scaling import ForecastErrors, Scaling

COLUMNS = ("pool", "agents", "ready", "running", "queued", "cpu", "memory")
LOW, MIDDLE, HIGH = 0.05, 0.5, 0.95
ALL = "all"
LONGEST_ALERT_S = 86_400
_FOR = re.compile(r"([1-9][0-9]{0,5})([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}


def show(client: Client, terminal: Terminal, pool: str | None, *, explain: bool) -> None:
    """Raises `NotFound` for a pool that there is not."""
    found = client.scaling()
    if pool is not None:
        found = _only(found, pool)
    if terminal.as_json:
        terminal.json(found)
        return
    horizons = [f"in {horizon_s // 60} min" for horizon_s in HORIZONS_S]
    terminal.table((*COLUMNS, *horizons, "decision"), [_row(found, standing) for standing in found.pools])
    if explain:
        for line in _explained(found):
            terminal.text(line)
        if found.errors:
            terminal.text("\nForecasts of late, and how wrong they were:")
            terminal.table(ForecastErrors.columns, ForecastErrors(found.errors).rows())
    for line in _notes(found):
        terminal.note(line)


def alert(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(help=f"Name of the pool, or {ALL}.")],
    lasting: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long it counts: 90s, 5m, 1h; at most a day.")
    ] = "5m",
    end: Annotated[bool, typer.Option("--end", help="It is over.")] = False,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Say that a pool needs more agents now, as a critical alert does. Needs the scope `fleet:write`."""
    for_s = 0 if end else _seconds(lasting)
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        said = client.alert(*(() if pool == ALL else (pool,)), for_s=for_s)
        if as_json:
            terminal.json(said)
        for one in said.ignored:
            terminal.note(one.reason)
        for taken in said.taken:
            name = "every pool" if taken.pool == "*" else taken.pool
            terminal.note(f"{name}: {'the alert is over' if end else f'an alert for {lasting.strip()}'}.")
    if not said.taken:
        raise typer.Exit(ExitCode.FAILED)


def _seconds(text: str) -> int:
    match = _FOR.fullmatch(text.strip())
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_ALERT_S:
        raise typer.BadParameter("--for is a time such as 90s, 5m or 1h, at most a day.")
    return seconds


def _only(found: Scaling, pool: str) -> Scaling:
    known = [standing.pool for standing in found.pools]
    if pool not in known:
        raise NotFound(f"there is no pool {pool!r}: the pools are {', '.join(known)}", param="pool")
    recent = [_of_pool(decision, pool) for decision in found.recent]
    return found.model_copy(
        update={
            "pools": tuple(standing for standing in found.pools if standing.pool == pool),
            "decision": _of_pool(found.decision, pool) if found.decision else None,
            "errors": tuple(one for one in found.errors if one.pool == pool),
            "recent": tuple(decision for decision in recent if any(map(_moved, decision.pools))),
        }
    )


def _of_pool(decision: ScaleDecision, pool: str) -> ScaleDecision:
    pools = tuple(one for one in decision.pools if one.pool == pool)
    forecasts = tuple(one for one in decision.forecasts if one.pool == pool)
    return decision.model_copy(update={"pools": pools, "forecasts": forecasts})


def _row(found: Scaling, standing: PoolStatus) -> Sequence[object]:
    sample, decided = standing.sample, found.decided(standing.pool)
    seen: tuple[object, ...] = ("", "", "", "")
    if sample is not None:
        seen = (f"{sample.running:.1f}", sample.queued, _percent(sample.cpu), _percent(sample.memory))
    forecasts = (_band(found.forecast(standing.pool, horizon_s)) for horizon_s in HORIZONS_S)
    return (standing.pool, standing.size, standing.ready, *seen, *forecasts, _change(decided) if decided else "")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _band(forecast: Forecast | None) -> str:
    """The middle and nine of ten cases around it, in turns at once; `?`: not trusted."""
    if forecast is None or not forecast.quantiles.keys() >= {LOW, MIDDLE, HIGH}:
        return ""
    low, middle, high = (forecast.quantiles[level] for level in (LOW, MIDDLE, HIGH))
    return f"{middle:.1f} ({low:.1f}-{high:.1f}){'' if forecast.trusted else '?'}"


def _moved(decided: PoolDecision) -> bool:
    return decided.agents != decided.before


def _change(decided: PoolDecision) -> str:
    lent = f", {decided.lent} lent" if decided.lent else ""
    if not _moved(decided):
        return f"stays {decided.agents}{lent}"
    return f"{decided.before} -> {decided.agents}{lent}{' (emergency)' if decided.emergency else ''}"


def _explained(found: Scaling) -> Iterator[str]:
    decision = found.decision
    if decision is not None:
        yield f"\nThe last decision, of {decision.at:%Y-%m-%d %H:%M:%S}, {_mover(decision)}:"
        yield from _reasons(decision.pools)
    if found.recent:
        yield "\nThe last changes:"
    for change in found.recent:
        told = ", in trial" if change.dry_run else ""
        yield f"{change.at:%Y-%m-%d %H:%M:%S}{told}, {_mover(change)}; {change.standby} standbys:"
        yield from _reasons([one for one in change.pools if _moved(one)])


def _mover(decision: ScaleDecision) -> str:
    if decision.by == "nothing":
        return "which moves nothing"
    return "as an emergency" if decision.by == "emergency" else f"by {decision.by}"


def _reasons(pools: Sequence[PoolDecision]) -> Iterator[str]:
    for one in pools:
        yield f"  {one.pool}: {_change(one)}. {' '.join(_sentence(reason) for reason in one.reasons)}".rstrip()


def _sentence(reason: str) -> str:
    text = reason.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _notes(found: Scaling) -> Iterator[str]:
    what = {"on": "Scaling is on", "dry-run": "Scaling is in trial: it decides and changes nothing"}
    wanted = found.decision.standby if found.decision else found.standby
    yield f"{what.get(found.mode, f'Scaling is {found.mode}')}. Standbys: {found.standby}, wanted {wanted}."
    if found.predictor:
        yield f"Forecasts: {found.predictor}."
    if found.alerts:
        named = ", ".join("every pool" if pool == "*" else pool for pool in found.alerts)
        yield f"Critical alerts: {named}."
    if found.trouble:
        yield f"Nothing is decided: {found.trouble}"
