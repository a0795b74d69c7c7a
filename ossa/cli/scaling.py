"""`ossa scale` and `ossa alert`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Annotated

import typer

from ossa.cli.session import Session, Timeout, Wait, fleet_command
from ossa.cli.terminal import ExitCode
from ossa.contracts.errors import NotFound
from ossa.contracts.scaling import HORIZONS_S, Forecast, PoolDecision, PoolStatus, ScaleDecision
from ossa.sdk.fleet import Operation
from ossa.sdk.scaling import ForecastErrors, Scaling

COLUMNS = ("pool", "agents", "ready", "running", "queued", "cpu", "memory")
LOW, MIDDLE, HIGH = 0.05, 0.5, 0.95
ALL = "all"
LONGEST_ALERT_S = 86_400
_FOR = re.compile(r"([1-9][0-9]{0,5})([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}


@fleet_command
def scale(
    session: Session,
    pool: Annotated[
        str | None, typer.Argument(help="Name of the pool; without one, show what the scaler does.")
    ] = None,
    size: Annotated[int | None, typer.Argument(min=0, max=10_000, help="Agents that it shall have.")] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show the reasons of the last decision and changes, and trust in forecasts."),
    ] = False,
    shown: Annotated[str | None, typer.Option("--pool", help="Show only this pool.")] = None,
    wait: Wait = True,
    timeout_s: Timeout = 600.0,
) -> None:
    """Give a pool another size; without one, show the pools' load, what is expected, and what the scaler decides."""
    if (pool is None) != (size is None):
        raise typer.BadParameter("a pool's name and its size go together; --pool shows one pool.", param_hint="SIZE")
    if pool is not None and (explain or shown):
        raise typer.BadParameter("--explain and --pool show; they change no size.")
    if pool is None or size is None:
        _show(session, shown, explain=explain)
        return
    follow(session, session.client.pools.scale(pool, size), wait=wait, timeout_s=timeout_s)


def follow(session: Session, operation: Operation, *, wait: bool, timeout_s: float) -> None:
    """Shows the operation, once it has ended with `wait`; one that failed is exit code 1."""
    terminal = session.terminal
    if wait and not operation.ended:
        with terminal.err.status(f"{operation.kind} {operation.id}") if terminal.err.is_terminal else nullcontext():
            operation = session.client.operations.wait(operation.id, timeout_s=timeout_s)
    if session.as_json:
        terminal.json(operation)
    else:
        terminal.table(("operation", "kind", "status"), [(operation.id, operation.kind, operation.status)])
    if operation.status != "failed":
        return
    if operation.error and not session.as_json:
        terminal.error(operation.error.to_error())
    raise typer.Exit(ExitCode.FAILED)


@fleet_command
def alert(
    session: Session,
    pool: Annotated[str, typer.Argument(help=f"Name of the pool, or {ALL}.")],
    lasting: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long it counts: 90s, 5m, 1h; at most a day.")
    ] = "5m",
    end: Annotated[bool, typer.Option("--end", help="End the alert.")] = False,
) -> None:
    """Say that a pool needs more agents now, as a critical alert does. Needs the scope `fleet:write`."""
    for_s = 0 if end else _seconds(lasting)
    terminal = session.terminal
    alerts = session.client.alert(*(() if pool == ALL else (pool,)), for_s=for_s)
    if session.as_json:
        terminal.json(alerts)
    for ignored in alerts.ignored:
        terminal.note(ignored.reason)
    for taken in alerts.taken:
        name = "every pool" if taken.pool == "*" else taken.pool
        terminal.note(f"{name}: {'the alert is over' if end else f'an alert for {lasting.strip()}'}.")
    if not alerts.taken:
        raise typer.Exit(ExitCode.FAILED)


def _show(session: Session, pool: str | None, *, explain: bool) -> None:
    """Raises `NotFound` for a pool that there is not."""
    terminal = session.terminal
    scaling = session.client.scaling()
    if pool is not None:
        scaling = _only(scaling, pool)
    if session.as_json:
        terminal.json(scaling)
        return
    horizons = [f"in {horizon_s // 60} min" for horizon_s in HORIZONS_S]
    terminal.table((*COLUMNS, *horizons, "decision"), [_row(scaling, status) for status in scaling.pools])
    if explain:
        for line in _explained(scaling):
            terminal.text(line)
        if scaling.errors:
            terminal.text("\nForecasts of late, and how wrong they were:")
            terminal.listing(ForecastErrors(scaling.errors))
    for line in _notes(scaling):
        terminal.note(line)


def _seconds(text: str) -> int:
    match = _FOR.fullmatch(text.strip())
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_ALERT_S:
        raise typer.BadParameter("--for is a time such as 90s, 5m or 1h, at most a day.")
    return seconds


def _only(scaling: Scaling, pool: str) -> Scaling:
    names = [status.pool for status in scaling.pools]
    if pool not in names:
        raise NotFound(f"there is no pool {pool!r}: the pools are {', '.join(names)}", param="pool")
    recent = [_of_pool(decision, pool) for decision in scaling.recent]
    return scaling.model_copy(
        update={
            "pools": tuple(status for status in scaling.pools if status.pool == pool),
            "decision": _of_pool(scaling.decision, pool) if scaling.decision else None,
            "errors": tuple(error for error in scaling.errors if error.pool == pool),
            "recent": tuple(decision for decision in recent if any(map(_moved, decision.pools))),
        }
    )


def _of_pool(decision: ScaleDecision, pool: str) -> ScaleDecision:
    pools = tuple(item for item in decision.pools if item.pool == pool)
    forecasts = tuple(item for item in decision.forecasts if item.pool == pool)
    return decision.model_copy(update={"pools": pools, "forecasts": forecasts})


def _row(scaling: Scaling, pool: PoolStatus) -> Sequence[object]:
    sample, decision = pool.sample, scaling.decided(pool.pool)
    seen: tuple[object, ...] = ("", "", "", "")
    if sample is not None:
        seen = (f"{sample.running:.1f}", sample.queued, _percent(sample.cpu), _percent(sample.memory))
    forecasts = (_band(scaling.forecast(pool.pool, horizon_s)) for horizon_s in HORIZONS_S)
    return (pool.pool, pool.size, pool.ready, *seen, *forecasts, _change(decision) if decision else "")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _band(forecast: Forecast | None) -> str:
    """Shows the median and the range of nine cases in ten, in turns at once; `?` marks one that is not trusted."""
    if forecast is None or not forecast.quantiles.keys() >= {LOW, MIDDLE, HIGH}:
        return ""
    low, middle, high = (forecast.quantiles[level] for level in (LOW, MIDDLE, HIGH))
    return f"{middle:.1f} ({low:.1f}-{high:.1f}){'' if forecast.trusted else '?'}"


def _moved(decision: PoolDecision) -> bool:
    return decision.agents != decision.before


def _change(decision: PoolDecision) -> str:
    lent = f", {decision.lent} lent" if decision.lent else ""
    if not _moved(decision):
        return f"stays {decision.agents}{lent}"
    return f"{decision.before} -> {decision.agents}{lent}{' (emergency)' if decision.emergency else ''}"


def _explained(scaling: Scaling) -> Iterator[str]:
    decision = scaling.decision
    if decision is not None:
        yield f"\nThe last decision, of {decision.at:%Y-%m-%d %H:%M:%S}, {_mover(decision)}:"
        yield from _reasons(decision.pools)
    if scaling.recent:
        yield "\nThe last changes:"
    for change in scaling.recent:
        trial = ", in trial" if change.dry_run else ""
        yield f"{change.at:%Y-%m-%d %H:%M:%S}{trial}, {_mover(change)}; {change.standby} standbys:"
        yield from _reasons([item for item in change.pools if _moved(item)])


def _mover(decision: ScaleDecision) -> str:
    if decision.by == "nothing":
        return "which moves nothing"
    return "as an emergency" if decision.by == "emergency" else f"by {decision.by}"


def _reasons(pools: Sequence[PoolDecision]) -> Iterator[str]:
    for decision in pools:
        reasons = " ".join(_sentence(reason) for reason in decision.reasons)
        yield f"  {decision.pool}: {_change(decision)}. {reasons}".rstrip()


def _sentence(reason: str) -> str:
    text = reason.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _notes(scaling: Scaling) -> Iterator[str]:
    what = {"on": "Scaling is on", "dry-run": "Scaling is in trial: it decides and changes nothing"}
    wanted = scaling.decision.standby if scaling.decision else scaling.standby
    yield f"{what.get(scaling.mode, f'Scaling is {scaling.mode}')}. Standbys: {scaling.standby}, wanted {wanted}."
    if scaling.predictor:
        yield f"Forecasts: {scaling.predictor}."
    if scaling.alerts:
        named = ", ".join("every pool" if pool == "*" else pool for pool in scaling.alerts)
        yield f"Critical alerts: {named}."
    if scaling.trouble:
        yield f"Nothing is decided: {scaling.trouble}"
