"""`ossa ask`, `ossa route`, `ossa feedback` and `ossa tasks`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from ossa.cli.session import Session, fleet_command
from ossa.cli.terminal import ExitCode, Terminal
from ossa.contracts.routing import Route
from ossa.contracts.task import TaskStatus
from ossa.sdk.chat import Answer
from ossa.sdk.client import Client
from ossa.sdk.routing import AgentScores, Routes, TierScores
from ossa.sdk.tasks import Task, Tasks

CAPABILITIES = "ossa.capabilities"


class Rating(StrEnum):
    UP = "up"
    DOWN = "down"


@fleet_command
def ask(
    session: Session,
    text: Annotated[str, typer.Argument(help="The question; - reads it from standard input.")],
    pool: Annotated[str | None, typer.Option("--pool", help="Ask this pool.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Ask this agent, by id or manifest name.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer as it comes.")] = False,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Length of the answer, at most.")
    ] = None,
) -> None:
    """Ask the fleet and print the answer. With --stream --json: one line for each piece, then the whole answer."""
    model = target_of(pool, agent)
    prompt = sys.stdin.read() if text == "-" else text
    if not prompt.strip():
        raise typer.BadParameter("the question is empty.", param_hint="TEXT")
    parameters: dict[str, Any] = {"max_tokens": max_tokens} if max_tokens else {}
    terminal = session.terminal
    if stream:
        answer = _streamed(session.client, terminal, prompt, model, parameters)
        if session.as_json:
            terminal.json(answer)
    else:
        answer = session.client.chat(prompt, model=model, **parameters)
        terminal.result(answer, text=answer.text)
    terminal.note(_summary(answer))


def target_of(pool: str | None, agent: str | None) -> str:
    """Returns what `model` is for these options."""
    if pool and agent:
        raise typer.BadParameter("--pool and --agent exclude each other.")
    return f"pool/{pool}" if pool else f"agent/{agent}" if agent else "auto"


def _streamed(client: Client, terminal: Terminal, prompt: str, model: str, parameters: dict[str, Any]) -> Answer:
    with client.chat(prompt, model=model, stream=True, **parameters) as pieces:
        for piece in pieces:
            if terminal.as_json:
                terminal.json({"delta": piece})
            else:
                terminal.text(piece, end="")
        if not terminal.as_json:
            terminal.text("")
        return pieces.answer()


def _summary(answer: Answer) -> str:
    cost = f"{answer.usage.total_tokens} tokens", f"${answer.cost_usd:.6f}"
    facts = (answer.agent, answer.model, *cost, answer.task_id)
    return " · ".join(fact for fact in facts if fact)


@fleet_command
def route(
    session: Session,
    prompt: Annotated[str | None, typer.Argument(help="What would be asked.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Show where this task went instead.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the scores, and what was passed over and why.")
    ] = False,
    pool: Annotated[str | None, typer.Option("--pool", help="As if this pool were asked.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="As if this agent or manifest were asked.")] = None,
    needs: Annotated[
        str | None, typer.Option("--needs", help="Capabilities or tools that it must have, separated by commas.")
    ] = None,
) -> None:
    """Show where a request would go now, or where a task went. Nothing is run."""
    if (prompt is None) == (task is None):
        raise typer.BadParameter("Give either a prompt or --task.")
    if task is not None:
        routes = session.client.tasks.route(task)
    else:
        metadata = {CAPABILITIES: needs} if needs else None
        model = target_of(pool, agent)
        routes = Routes((session.client.route(prompt or "", model=model, metadata=metadata),))
    if session.as_json:
        session.terminal.json(routes if task is not None else routes[0])
        return
    session.terminal.listing(routes)
    for decision in routes if explain else ():
        _explain(session.terminal, decision)


def _explain(terminal: Terminal, route: Route) -> None:
    terminal.text("")
    terminal.listing(AgentScores(route.agents))
    if route.tiers:
        terminal.text("")
        terminal.listing(TierScores(route.tiers))
    lines = [*route.reasons]
    lines += [f"{count} agents passed over: {name}" for name, count in route.filtered.items()]
    lines += [f"{tier} not taken: {why}" for tier, why in route.tiers_filtered.items()]
    if route.cascade:
        lines.append(f"cascade: {' -> '.join(route.cascade)}")
    if route.explored:
        lines.append("another tier than the best was tried, to learn")
    terminal.text("")
    for line in lines:
        terminal.text(line)


@fleet_command
def feedback(
    session: Session,
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="The task's id; it must have ended.")],
    rating: Annotated[Rating, typer.Argument(help="Was the answer what was wanted?")],
    comment: Annotated[str, typer.Option("--comment", help="Why, at most 4096 characters.")] = "",
    expected: Annotated[
        str, typer.Option("--expected", help="The pool, manifest or agent that should have answered.")
    ] = "",
) -> None:
    """Rate a task's answer; routing learns from it. A second rating replaces the first."""
    kept = session.client.tasks.rate(task_id, rating.value, comment=comment, expected=expected)
    session.terminal.result(kept, note=f"{task_id} is rated {rating.value}.")


@fleet_command
def tasks(
    session: Session,
    task_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One task; else the newest ones.")] = None,
    events: Annotated[bool, typer.Option("--events", help="Follow the task's events to its end.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Ask for the task's end.")] = False,
    status: Annotated[TaskStatus | None, typer.Option("--status", help="Only tasks with this status.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many, at most.")] = 20,
) -> None:
    """List tasks, or show one: exit code 1 when that one failed or was cancelled."""
    if task_id is None and (events or cancel):
        raise typer.BadParameter("--events and --cancel need the task's ID.")
    client, terminal = session.client, session.terminal
    if task_id is None:
        terminal.result(client.tasks.list(status=status and status.value, limit=limit))
        return
    if cancel:
        client.tasks.cancel(task_id)
    if events:
        _follow(client, terminal, task_id)
    task = client.tasks.get(task_id)
    _show(terminal, task)
    if task.status in ("failed", "cancelled") and not cancel:
        raise typer.Exit(ExitCode.FAILED)


def _follow(client: Client, terminal: Terminal, task_id: str) -> None:
    for event in client.tasks.events(task_id):
        facts = (event.data.get(key) for key in ("kind", "agent_id", "status"))
        gist = "  ".join(str(fact) for fact in facts if fact)
        terminal.result(event, text=f"{event.id:>4}  {event.type}  {gist}")


def _show(terminal: Terminal, task: Task) -> None:
    if terminal.as_json:
        terminal.json(task)
        return
    terminal.listing(Tasks((task,)))
    if task.text:
        terminal.text(task.text)
    if task.outcome and task.outcome.error:
        terminal.error(task.outcome.error.to_error())
