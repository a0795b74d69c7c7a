"""The journal over PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from time import monotonic
from uuid import uuid4

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ossa.contracts.configuration import Database
from ossa.contracts.errors import Conflict, NotFound
from ossa.contracts.stores import Accepted, Backlog, Pruned
from ossa.contracts.task import (
    ErrorInfo,
    NewTask,
    Outcome,
    Step,
    Task,
    TaskStatus,
    UsageToday,
    ending_bodies,
    lacks_answer,
)
from ossa.stores import fact_bodies, journal_rules
from ossa.stores.checks import as_json
from ossa.stores.postgres.batch import Accept, Append, Finish, Release, Write
from ossa.stores.postgres.connection import Reader, Server
from ossa.stores.postgres.group_commit import GroupCommit
from ossa.stores.postgres.lists import Lists
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.rows import backlog_of, task_of, task_state_of

_ENDED_OTHERWISE = (TaskStatus.FAILED, TaskStatus.CANCELLED)


class PostgresJournal:
    """`ossa.contracts.stores.Journal`. `accept`, `append`, `finish` and `release` share commits.

    Every call is repeated on a new connection when one is lost, until the
    statement timeout is over. An accept or a claim that was cancelled, or raised
    `StoreUnavailable`, may have taken effect all the same: its owner must then
    let its lease end, so that somebody else takes what it does not know of.

    Args:
        on_committed: called after each commit that told something; None: nothing is told.
    """

    def __init__(
        self,
        server: Server,
        reader: Reader,
        lists: Lists,
        database: Database,
        *,
        lanes: int,
        on_committed: Callable[[], None] | None = None,
    ) -> None:
        self._lists = lists
        self._on_committed = on_committed
        self._timeout_s = database.statement_timeout_s
        self._reader = reader
        self._sql = load_queries("journal.sql")
        self._commits = GroupCommit(
            server,
            lanes=lanes,
            batch_max=database.group_commit_max,
            resolve_conflict=self._resolve_conflict,
            on_committed=on_committed,
        )

    async def accept(self, new: NewTask, *, owner: str | None) -> Accepted:
        journal_rules.check_new(new, owner)
        write = Accept(
            task_id=new.id,
            done=asyncio.get_running_loop().create_future(),
            deadline=monotonic() + self._timeout_s,
            new=new,
            owner=owner,
            request=as_json(new.request),
        )
        self._commits.submit(write)
        at = await write.done
        if write.known is None:
            return Accepted(task=_fresh(new, owner, at), created=True)
        task = await self.get(write.known)
        mine = write.repeated and task.id == new.id and task.owner == owner
        return Accepted(task=task, created=mine)

    async def append(self, task_id: str, *, fence: int, steps: Sequence[Step], agent_id: str | None = None) -> None:
        journal_rules.check_steps(task_id, steps)
        write = Append(
            task_id=task_id,
            done=asyncio.get_running_loop().create_future(),
            deadline=monotonic() + self._timeout_s,
            fence=fence,
            steps=steps,
            bodies=[as_json(step) for step in steps],
            agent_id=agent_id,
        )
        self._commits.submit(write)
        await write.done

    async def finish(
        self,
        task_id: str,
        *,
        fence: int,
        outcome: Outcome,
        steps: Sequence[Step] = (),
        usage_subjects: Sequence[str] = (),
    ) -> None:
        journal_rules.check_outcome(outcome)
        journal_rules.check_steps(task_id, steps)
        write = Finish(
            task_id=task_id,
            done=asyncio.get_running_loop().create_future(),
            deadline=monotonic() + self._timeout_s,
            fence=fence,
            steps=steps,
            bodies=ending_bodies(steps, outcome),
            outcome=outcome,
            body=as_json(outcome),
            subjects=usage_subjects,
        )
        self._commits.submit(write)
        await write.done

    async def release(self, task_id: str, *, fence: int) -> None:
        write = Release(
            task_id=task_id,
            done=asyncio.get_running_loop().create_future(),
            deadline=monotonic() + self._timeout_s,
            fence=fence,
        )
        self._commits.submit(write)
        await write.done

    async def claim(self, *, owner: str, limit: int) -> list[Task]:
        """Raises `Conflict` when the owner holds no lease."""
        # The id lets a second try find what a first one took when its answer was lost.
        params = {"owner": owner, "limit": limit, "claim_id": uuid4().hex}
        rows = await self._reader.rows(self._sql["claim"], params)
        if not rows:
            lease = await self._reader.row(self._sql["has_lease"], {"owner": owner})
            if lease is None or not lease["held"]:
                raise Conflict(f"{owner} holds no lease; renew it before claiming.")
        return [task_of(row) for row in rows]

    async def renew(self, owner: str, *, ttl_s: float) -> None:
        await self._reader.execute(self._sql["renew"], {"owner": owner, "ttl_s": ttl_s})

    async def retire(self, owner: str) -> None:
        await self._reader.execute(self._sql["retire"], {"owner": owner})

    async def get(self, task_id: str, *, tenant: str | None = None) -> Task:
        row = await self._reader.row(self._sql["get"], {"task_id": task_id, "tenant": tenant}, tenant=tenant)
        if row is None:
            raise NotFound(f"There is no task {task_id}.")
        return task_of(row)

    async def tasks(
        self, *, tenant: str, status: TaskStatus | None = None, limit: int = 50, before: str | None = None
    ) -> list[Task]:
        name = "tasks"
        if status is TaskStatus.SUCCEEDED:
            name = "tasks_succeeded"
        elif status in _ENDED_OTHERWISE:
            name = "tasks_ended_otherwise"
        elif status is not None:
            name = "tasks_open"
        params = {"tenant": tenant, "status": status and status.value, "limit": limit, "before": before}
        return [task_of(row) for row in await self._lists.rows(self._sql[name], params, tenant=tenant)]

    async def steps(self, task_id: str, *, tenant: str | None = None, after: int = -1) -> list[Step]:
        params = {"task_id": task_id, "tenant": tenant, "after": after}
        rows = await self._reader.rows(self._sql["steps"], params, tenant=tenant)
        steps = [Step.model_validate_json(row["body"]) for row in rows]
        if steps and lacks_answer(steps[-1].__dict__):
            row = await self._reader.row(self._sql["outcome"], params, tenant=tenant)
            if row is not None:
                message = Outcome.model_validate_json(row["outcome"]).message
                payload = {"message": message, **steps[-1].payload}
                steps[-1] = steps[-1].model_copy(update={"payload": payload})
        return steps

    async def request_cancel(self, task_id: str, *, tenant: str) -> Task:
        await self._reader.run(partial(self._cancel, task_id, tenant))
        return await self.get(task_id, tenant=tenant)

    async def cancel_requests(self, owner: str) -> list[str]:
        rows = await self._reader.rows(self._sql["cancel_requests"], {"owner": owner})
        return [row["task_id"] for row in rows]

    async def count_open(self, *, tenant: str | None = None) -> int:
        row = await self._reader.row(self._sql["count_open"], {"tenant": tenant}, tenant=tenant)
        return int(row["open"]) if row else 0

    async def backlog(self, *, owners: Sequence[str]) -> list[Backlog]:
        return [backlog_of(row) for row in await self._reader.rows(self._sql["backlog"], {"owners": list(owners)})]

    async def usage_today(self, subject: str) -> UsageToday:
        row = await self._reader.row(self._sql["usage_today"], {"subject": subject})
        return UsageToday(tokens=row["tokens"], cost_usd=row["cost_usd"]) if row else UsageToday()

    async def ping(self) -> None:
        await self._reader.execute(self._sql["ping"])

    async def close(self) -> None:
        """What was submitted is still written. The connections for reading belong to the stores."""
        await self._commits.close()

    async def _cancel(self, task_id: str, tenant: str, conn: AsyncConnection[DictRow]) -> None:
        async with conn.transaction():
            cursor = await conn.execute(self._sql["lock_open"], {"task_id": task_id, "tenant": tenant})
            held = await cursor.fetchone()
            if held is None:
                return
            if held["owner"] is not None:
                await conn.execute(self._sql["ask_to_cancel"], {"task_id": task_id})
                return
            ended = Outcome(
                status=TaskStatus.CANCELLED, error=ErrorInfo(code="cancelled", message="Cancelled before it began.")
            )
            event = fact_bodies.of_finish(task_id, (), ended).decode() if self._on_committed is not None else None
            params = {"task_id": task_id, "outcome": as_json(ended).decode(), "event": event}
            await conn.execute(self._sql["cancel_queued"], params)
        if self._on_committed is not None:
            self._on_committed()

    async def _resolve_conflict(self, write: Write) -> bool:
        """Whether to submit it again. Raises what its caller shall meet."""
        if isinstance(write, Accept):
            return await self._judge_accept(write)
        assert isinstance(write, Append | Finish | Release)
        first = 0 if isinstance(write, Release) or not write.steps else write.steps[0].seq
        row = await self._reader.row(self._sql["standing"], {"task_id": write.task_id, "first": first})
        state = task_state_of(row) if row else None
        if isinstance(write, Release):
            return journal_rules.may_release(write.task_id, state, fence=write.fence)
        missing: Sequence[Step] | None
        if isinstance(write, Append):
            missing = journal_rules.steps_to_append(write.task_id, state, fence=write.fence, steps=write.steps)
            again = bool(missing)
        else:
            missing = journal_rules.steps_to_finish(
                write.task_id, state, fence=write.fence, status=write.outcome.status, steps=write.steps
            )
            again = missing is not None
        if again and missing is not None:
            write.bodies = write.bodies[len(write.steps) - len(missing) :]
            write.steps = missing
        return again

    async def _judge_accept(self, write: Accept) -> bool:
        new = write.new
        params = {"id": new.id, "tenant": new.tenant, "key": new.idempotency_key}
        row = await self._reader.row(self._sql["occupant"], params)
        if row is None:  # what stood in the way was rolled back
            return True
        write.known = journal_rules.known_task(
            new, task_id=row["id"], tenant=row["tenant"], body_sha256=row["body_sha256"]
        )
        return False


def _fresh(new: NewTask, owner: str | None, at: datetime) -> Task:
    return Task(
        id=new.id,
        tenant=new.tenant,
        status=TaskStatus.RUNNING if owner else TaskStatus.QUEUED,
        request=new.request,
        owner=owner,
        fence=1 if owner else 0,
        attempts=1 if owner else 0,
        idempotency_key=new.idempotency_key,
        created_at=at,
        updated_at=at,
    )


PRUNED_AT_ONCE = 1_000
"""Tasks that one transaction removes: none is long, and others get in between."""

WEEKS_AHEAD = 2


class PostgresHistory:
    """`ossa.contracts.stores.HistoryStore`. One process prunes at a time; others find nothing to do."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sql = load_queries("history.sql")

    async def prune(self, *, before: datetime) -> Pruned:
        await self._reader.execute(self._sql["ahead"], {"weeks": WEEKS_AHEAD})
        tasks = 0
        while True:
            row = await self._reader.row(self._sql["prune"], {"before": before, "most": PRUNED_AT_ONCE})
            gone = int(row["gone"] or 0) if row is not None else 0
            tasks += gone
            if gone < PRUNED_AT_ONCE:
                break
        return Pruned(tasks=tasks, parts=await self._drop(before))

    async def _drop(self, before: datetime) -> int:
        parts = 0
        while True:
            row = await self._reader.row(self._sql["drop"], {"before": before, "most": PRUNED_AT_ONCE})
            if row is None or row["part"] is None:
                return parts
            parts += 1
