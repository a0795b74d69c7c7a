-- What the journal told and nobody has published yet. One row a write of the journal, in the write's own
-- transaction; `body` is a JSON list of happenings. Rows are only inserted, and deleted once they are on the bus.
--
-- The writes of a task wait for each other (for the lock on its row in `open_tasks`) and take their position while
-- they hold it, so within a task positions are in the order of commits. Between tasks they are not: a position may
-- become visible after a higher one. So no reader remembers how far it came; it takes what is there, and deletes it.
-- The sequence must hand out one number at a time (CACHE 1), or a session would take old ones from its stock.
CREATE TABLE ossa.outbox (
    position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    task_id  text COLLATE "C" NOT NULL,
    tenant   text COLLATE "C" NOT NULL,
    at       timestamptz NOT NULL,
    body     text NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000
);

-- Which events a consumer has dealt with, for those that come again.
CREATE TABLE ossa.processed_events (
    consumer text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX processed_events_by_age ON ossa.processed_events (at);

-- As the one of 0001, and with what each accept, append and finish tells. Beyond the end of a shorter array are NULLs:
-- with empty ones nothing is told, and no row is written. The one of 0001 stays for programs that still run while the
-- schema is brought up.
CREATE FUNCTION ossa.journal_write(
    a_id text[], a_tenant text[], a_key text[], a_sha text[], a_owner text[], a_request text[],
    p_id text[], p_fence integer[], p_first integer[], p_count integer[], p_agent text[],
    f_id text[], f_fence integer[], f_first integer[], f_count integer[], f_status text[], f_outcome text[],
    r_id text[], r_fence integer[],
    s_task text[], s_seq integer[], s_fence integer[], s_kind text[], s_body text[],
    u_task text[], u_subject text[], u_tokens bigint[], u_cost double precision[],
    a_event text[], p_event text[], f_event text[],
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
        IF cardinality(a_event) > 0 THEN
            INSERT INTO ossa.outbox (task_id, tenant, at, body)
            SELECT a.id, a.tenant, now(), a.event
            FROM unnest(a_id, a_tenant, a_event) AS a (id, tenant, event)
            WHERE cardinality(accepted) = cardinality(a_id) OR a.id = ANY (accepted);
        END IF;
    END IF;

    IF cardinality(p_id) > 0 THEN
        WITH moved AS (
            UPDATE ossa.open_tasks AS o
            SET next_seq = o.next_seq + p.count, agent_id = coalesce(p.agent, o.agent_id), updated_at = now()
            FROM unnest(p_id, p_fence, p_first, p_count, p_agent, p_event)
                AS p (id, fence, first, count, agent, event)
            WHERE o.task_id = p.id AND o.fence = p.fence AND o.owner IS NOT NULL
              AND o.next_seq = coalesce(p.first, o.next_seq)
            RETURNING o.task_id, o.tenant, p.event
        ), told AS (
            INSERT INTO ossa.outbox (task_id, tenant, at, body)
            SELECT m.task_id, m.tenant, now(), m.event FROM moved AS m WHERE m.event IS NOT NULL
        )
        SELECT array_agg(moved.task_id) INTO appended FROM moved;
    END IF;

    IF cardinality(f_id) > 0 THEN
        WITH gone AS (
            DELETE FROM ossa.open_tasks AS o
            USING unnest(f_id, f_fence, f_first, f_count, f_status, f_outcome, f_event)
                AS f (id, fence, first, count, status, outcome, event)
            WHERE o.task_id = f.id AND o.fence = f.fence AND o.owner IS NOT NULL
              AND o.next_seq = coalesce(f.first, o.next_seq)
            RETURNING o.task_id, o.tenant, f.status, o.fence, o.attempts, o.next_seq + f.count AS next_seq,
                      o.cancel_requested, o.owner, o.agent_id, f.outcome, f.event
        ), told AS (
            INSERT INTO ossa.outbox (task_id, tenant, at, body)
            SELECT g.task_id, g.tenant, now(), g.event FROM gone AS g WHERE g.event IS NOT NULL
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
