-- Tasks are split by how they change. `tasks` and `outcomes` are only ever
-- inserted into, so a request's bytes are written once and never copied by an
-- update. What changes while a task is open sits in `open_tasks`: small rows,
-- one index, deleted when the task ends. No foreign keys: the writer creates
-- both sides in one transaction, and they would cost a lookup a row.
--
-- JSON of the hot tables is text: it is never queried by the runtime, the
-- server need not parse it, and jsonb refuses \u0000, which a prompt may hold.

CREATE TABLE ossa.tasks (
    id              text COLLATE "C" PRIMARY KEY,
    tenant          text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    body_sha256     text NOT NULL,
    created_at      timestamptz NOT NULL,
    request         text NOT NULL
);
CREATE UNIQUE INDEX tasks_idempotency ON ossa.tasks (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_of_tenant ON ossa.tasks (tenant, id);

-- `owner` NULL: queued. `claim_id` names the call that took the task, so that
-- the call finds it again when it is repeated because its answer was lost.
CREATE TABLE ossa.open_tasks (
    task_id          text COLLATE "C" PRIMARY KEY,
    tenant           text COLLATE "C" NOT NULL,
    fence            integer NOT NULL,
    attempts         integer NOT NULL,
    next_seq         integer NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    updated_at       timestamptz NOT NULL,
    owner            text,
    agent_id         text,
    claim_id         text
) WITH (
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000
);

CREATE TABLE ossa.outcomes (
    task_id          text COLLATE "C" PRIMARY KEY,
    tenant           text COLLATE "C" NOT NULL,
    status           text NOT NULL CHECK (status IN ('succeeded', 'failed', 'cancelled')),
    fence            integer NOT NULL,
    attempts         integer NOT NULL,
    next_seq         integer NOT NULL,
    cancel_requested boolean NOT NULL,
    finished_at      timestamptz NOT NULL,
    owner            text,
    agent_id         text,
    outcome          text NOT NULL
);
-- Most tasks succeed: those are found by walking the tenant's newest tasks.
CREATE INDEX outcomes_uncommon ON ossa.outcomes (tenant, status, task_id) WHERE status <> 'succeeded';

-- `body` is the whole step as JSON; the other columns are what a write is checked against.
CREATE TABLE ossa.steps (
    task_id text COLLATE "C" NOT NULL,
    seq     integer NOT NULL,
    fence   integer NOT NULL,
    kind    text NOT NULL,
    body    text NOT NULL,
    PRIMARY KEY (task_id, seq)
);

-- Several rows a subject and day, so that concurrent commits do not wait for one another.
CREATE TABLE ossa.usage_daily (
    subject  text COLLATE "C" NOT NULL,
    day      date NOT NULL,
    shard    smallint NOT NULL,
    tokens   bigint NOT NULL,
    cost_usd double precision NOT NULL,
    PRIMARY KEY (subject, day, shard)
) WITH (fillfactor = 50);

CREATE TABLE ossa.dispatchers (
    owner      text PRIMARY KEY,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- lz4 costs a fraction of the default compression; not every build has it.
DO $$
BEGIN
    ALTER TABLE ossa.tasks ALTER COLUMN request SET COMPRESSION lz4;
    ALTER TABLE ossa.steps ALTER COLUMN body SET COMPRESSION lz4;
    ALTER TABLE ossa.outcomes ALTER COLUMN outcome SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    NULL;
END $$;

-- One batch of journal writes; a task occurs at most once in it. What is not in
-- `accepted` or `written` was not applied, and the caller finds out why.
-- Planner settings are fixed because a plan made while a table was empty would
-- otherwise be kept for the life of the session.
CREATE FUNCTION ossa.journal_write(
    a_id text[], a_tenant text[], a_key text[], a_sha text[], a_owner text[], a_request text[],
    p_id text[], p_fence integer[], p_first integer[], p_count integer[], p_agent text[],
    f_id text[], f_fence integer[], f_first integer[], f_count integer[], f_status text[], f_outcome text[],
    r_id text[], r_fence integer[],
    s_task text[], s_seq integer[], s_fence integer[], s_kind text[], s_body text[],
    u_task text[], u_subject text[], u_tokens bigint[], u_cost double precision[],
    OUT at timestamptz, OUT accepted text[], OUT written text[]
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    appended text[];
    finished text[];
    released text[];
BEGIN
    at := now();

    IF cardinality(a_id) > 0 THEN
        WITH fresh AS (
            INSERT INTO ossa.tasks (id, tenant, idempotency_key, body_sha256, created_at, request)
            SELECT a.id, a.tenant, a.key, a.sha, now(), a.request
            FROM unnest(a_id, a_tenant, a_key, a_sha, a_request) AS a (id, tenant, key, sha, request)
            ON CONFLICT DO NOTHING
            RETURNING id
        )
        SELECT array_agg(fresh.id) INTO accepted FROM fresh;
        INSERT INTO ossa.open_tasks (task_id, tenant, fence, attempts, updated_at, owner)
        SELECT a.id, a.tenant, (a.owner IS NOT NULL)::integer, (a.owner IS NOT NULL)::integer, now(), a.owner
        FROM unnest(a_id, a_tenant, a_owner) AS a (id, tenant, owner)
        WHERE cardinality(accepted) = cardinality(a_id) OR a.id = ANY (accepted);
    END IF;

    IF cardinality(p_id) > 0 THEN
        WITH moved AS (
            UPDATE ossa.open_tasks AS o
            SET next_seq = o.next_seq + p.count, agent_id = coalesce(p.agent, o.agent_id), updated_at = now()
            FROM unnest(p_id, p_fence, p_first, p_count, p_agent) AS p (id, fence, first, count, agent)
            WHERE o.task_id = p.id AND o.fence = p.fence AND o.owner IS NOT NULL
              AND o.next_seq = coalesce(p.first, o.next_seq)
            RETURNING o.task_id
        )
        SELECT array_agg(moved.task_id) INTO appended FROM moved;
    END IF;

    IF cardinality(f_id) > 0 THEN
        WITH gone AS (
            DELETE FROM ossa.open_tasks AS o
            USING unnest(f_id, f_fence, f_first, f_count, f_status, f_outcome)
                AS f (id, fence, first, count, status, outcome)
            WHERE o.task_id = f.id AND o.fence = f.fence AND o.owner IS NOT NULL
              AND o.next_seq = coalesce(f.first, o.next_seq)
            RETURNING o.task_id, o.tenant, f.status, o.fence, o.attempts, o.next_seq + f.count AS next_seq,
                      o.cancel_requested, o.owner, o.agent_id, f.outcome
        ), ended AS (
            INSERT INTO ossa.outcomes (task_id, tenant, status, fence, attempts, next_seq, cancel_requested,
                                       finished_at, owner, agent_id, outcome)
            SELECT g.task_id, g.tenant, g.status, g.fence, g.attempts, g.next_seq, g.cancel_requested,
                   now(), g.owner, g.agent_id, g.outcome
            FROM gone AS g
            RETURNING task_id
        )
        SELECT array_agg(ended.task_id) INTO finished FROM ended;
    END IF;

    IF cardinality(r_id) > 0 THEN
        WITH freed AS (
            UPDATE ossa.open_tasks AS o
            SET owner = NULL, attempts = o.attempts - 1, updated_at = now()
            FROM unnest(r_id, r_fence) AS r (id, fence)
            WHERE o.task_id = r.id AND o.fence = r.fence AND o.owner IS NOT NULL
            RETURNING o.task_id
        )
        SELECT array_agg(freed.task_id) INTO released FROM freed;
    END IF;

    written := coalesce(appended, '{}') || coalesce(finished, '{}') || coalesce(released, '{}');

    IF cardinality(s_task) > 0 THEN
        INSERT INTO ossa.steps (task_id, seq, fence, kind, body)
        SELECT s.task_id, s.seq, s.fence, s.kind, s.body
        FROM unnest(s_task, s_seq, s_fence, s_kind, s_body) AS s (task_id, seq, fence, kind, body)
        WHERE cardinality(written) = cardinality(p_id) + cardinality(f_id) + cardinality(r_id)
           OR s.task_id = ANY (written);
    END IF;

    IF cardinality(u_task) > 0 THEN
        INSERT INTO ossa.usage_daily AS d (subject, day, shard, tokens, cost_usd)
        SELECT u.subject, (now() AT TIME ZONE 'UTC')::date, pg_backend_pid() % 16, sum(u.tokens), sum(u.cost)
        FROM unnest(u_task, u_subject, u_tokens, u_cost) AS u (task_id, subject, tokens, cost)
        WHERE cardinality(finished) = cardinality(f_id) OR u.task_id = ANY (finished)
        GROUP BY u.subject ORDER BY u.subject
        ON CONFLICT (subject, day, shard)
        DO UPDATE SET tokens = d.tokens + excluded.tokens, cost_usd = d.cost_usd + excluded.cost_usd;
    END IF;
END $$;
