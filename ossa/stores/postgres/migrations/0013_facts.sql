-- The fact log: what has happened, in the transaction of the write that made it happen. One row a tenant and transaction;
-- `body` is a JSON list of [key, happenings, origin] (ossa/stores/fact_bodies.py). Rows are only inserted; a day's part
-- is dropped as a whole.
--
-- Positions are dense, but for transactions that were rolled back. A reader takes rows in their order and stops at the
-- first number that is missing: it is of a transaction that has not ended, or of one that was rolled back. Which of
-- them it is, the locks tell: who has taken a number holds ROW EXCLUSIVE on ossa.facts until its transaction ends. So
-- nothing is passed over, no writer waits for another, and a long transaction of somebody else delays nobody.
-- Writes with one key take their numbers while they hold the lock of the row that they write, and so in the order of
-- their commits. The sequence must hand out one number at a time (CACHE 1).
CREATE SEQUENCE ossa.facts_position AS bigint CACHE 1;

CREATE TABLE ossa.facts (
    position bigint NOT NULL DEFAULT nextval('ossa.facts_position'),
    at       timestamptz NOT NULL,
    tenant   text COLLATE "C" NOT NULL,
    tasks    boolean NOT NULL,
    count    integer NOT NULL,
    body     text NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX facts_by_position ON ossa.facts (position);
-- Facts that are not of tasks are few, and are found without the others.
CREATE INDEX facts_of_the_fleet ON ossa.facts (position) WHERE NOT tasks;
CREATE INDEX facts_by_tenant ON ossa.facts (tenant, position);
CREATE TABLE ossa.facts_default PARTITION OF ossa.facts DEFAULT;

-- Where each consumer group is. `position` is an offset: the row's position times 65,536, and the number within the row.
CREATE TABLE ossa.fact_shards (
    name       text COLLATE "C" NOT NULL,
    shard      integer NOT NULL,
    shards     integer NOT NULL,
    position   bigint NOT NULL,
    fence      bigint NOT NULL DEFAULT 0,
    owner      text,
    expires_at timestamptz,
    PRIMARY KEY (name, shard)
) WITH (fillfactor = 50);

CREATE TABLE ossa.fact_members (
    name       text COLLATE "C" NOT NULL,
    owner      text COLLATE "C" NOT NULL,
    shards     integer NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (name, owner)
);

CREATE TABLE ossa.dead_facts (
    number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    message text NOT NULL
);

-- The last number that was handed out, and who may hold numbers up to it: transactions that have not ended. In this
-- order: who takes a lock after the look gets a higher number.
CREATE FUNCTION ossa.facts_writers(OUT last bigint, OUT writers text[]) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO last FROM ossa.facts_position s;
    SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}') INTO writers
    FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.relation = 'ossa.facts'::regclass
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
END $$;

-- One fact, or several with one key, in the transaction of whoever calls it. `happenings` is a JSON list.
CREATE FUNCTION ossa.tell(f_tenant text, f_key text, f_count integer, f_happenings text) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO ossa.facts (at, tenant, tasks, count, body)
    VALUES (now(), f_tenant, false, f_count, '[[' || to_json(f_key)::text || ',' || f_happenings || ']]');
END;

-- Make the parts of today and the next days; returns how many were made. It runs with the owner's rights, and can do
-- nothing else. A day whose first rows are in the default part already stays there.
CREATE FUNCTION ossa.facts_ahead(days integer) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    made      integer := 0;
    name      text;
    starts_at timestamptz;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1869837161) THEN
        RETURN 0;
    END IF;
    FOR n IN 0 .. least(days, 14) LOOP
        starts_at := date_bin('24 hours', now(), timestamptz '2026-01-05 00:00:00+00') + n * interval '24 hours';
        name := 'facts_' || to_char(starts_at AT TIME ZONE 'UTC', 'YYYYMMDD');
        CONTINUE WHEN to_regclass('ossa.' || name) IS NOT NULL;
        BEGIN
            -- Attached, not made in place: that takes no lock which writers wait for.
            EXECUTE format('CREATE TABLE ossa.%I (LIKE ossa.facts INCLUDING ALL)', name);
            EXECUTE format('ALTER TABLE ossa.%I ENABLE ROW LEVEL SECURITY', name);
            EXECUTE format('ALTER TABLE ossa.facts ATTACH PARTITION ossa.%I FOR VALUES FROM (%L) TO (%L)',
                           name, starts_at, starts_at + interval '24 hours');
            made := made + 1;
        EXCEPTION WHEN check_violation THEN
            RAISE WARNING 'ossa: % stays in the default part', name;
        END;
    END LOOP;
    RETURN made;
END $$;

-- Drop the parts of days that ended before then, and what of the default part is as old; returns how many parts went.
CREATE FUNCTION ossa.facts_prune(before timestamptz, most integer) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    gone integer := 0;
    part text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1869837161) THEN
        RETURN 0;
    END IF;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ossa.facts'::regclass AND c.relname ~ '^facts_\d{8}$'
          AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= before
        ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE ossa.%I', part);
        gone := gone + 1;
    END LOOP;
    DELETE FROM ossa.facts_default WHERE ctid = ANY (ARRAY(
        SELECT d.ctid FROM ossa.facts_default d WHERE d.at < before LIMIT most
    ));
    DELETE FROM ossa.dead_facts WHERE number = ANY (ARRAY(
        SELECT d.number FROM ossa.dead_facts d WHERE d.at < before LIMIT most
    ));
    RETURN gone;
END $$;

-- Start or prolong a membership; returns the shares that `who` holds. Members that are alive get equal numbers.
CREATE FUNCTION ossa.fact_join(g text, n integer, who text, ttl_s double precision, begins bigint)
RETURNS SETOF ossa.fact_shards LANGUAGE plpgsql AS $$
DECLARE
    until_ timestamptz;
    quota  integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ossa.fact_join ' || g, 0));
    until_ := clock_timestamp() + make_interval(secs => ttl_s);
    DELETE FROM ossa.fact_members m WHERE m.name = g AND m.expires_at <= clock_timestamp() AND m.owner <> who;
    INSERT INTO ossa.fact_members AS m (name, owner, shards, expires_at) VALUES (g, who, n, until_)
    ON CONFLICT (name, owner) DO UPDATE SET shards = n, expires_at = until_;
    IF EXISTS (SELECT FROM ossa.fact_members m WHERE m.name = g AND m.shards <> n) THEN
        -- Those of another number of shares go on until they leave; who came last waits.
        IF EXISTS (SELECT FROM ossa.fact_shards s WHERE s.name = g AND s.shards <> n) THEN
            RETURN;
        END IF;
    ELSIF NOT EXISTS (SELECT FROM ossa.fact_shards s WHERE s.name = g AND s.shards = n) THEN
        begins := coalesce((SELECT min(s.position) FROM ossa.fact_shards s WHERE s.name = g), begins);
        DELETE FROM ossa.fact_shards s WHERE s.name = g;
        INSERT INTO ossa.fact_shards (name, shard, shards, position) SELECT g, i, n, begins FROM generate_series(0, n - 1) i;
    END IF;
    SELECT ceil(n::numeric / count(*)) INTO quota FROM ossa.fact_members m WHERE m.name = g AND m.shards = n;
    -- What is held above the quota is given up, what is free is taken.
    UPDATE ossa.fact_shards s SET owner = NULL, expires_at = NULL
    WHERE s.name = g AND s.shard IN (
        SELECT x.shard FROM ossa.fact_shards x WHERE x.name = g AND x.owner = who ORDER BY x.shard OFFSET quota
    );
    UPDATE ossa.fact_shards s SET expires_at = until_ WHERE s.name = g AND s.owner = who;
    UPDATE ossa.fact_shards s SET owner = who, expires_at = until_, fence = s.fence + 1
    WHERE s.name = g AND s.shard IN (
        SELECT x.shard FROM ossa.fact_shards x
        WHERE x.name = g AND (x.owner IS NULL OR x.expires_at <= clock_timestamp())
        ORDER BY x.shard
        LIMIT quota - (SELECT count(*) FROM ossa.fact_shards x WHERE x.name = g AND x.owner = who)
    );
    RETURN QUERY SELECT * FROM ossa.fact_shards s WHERE s.name = g AND s.owner = who ORDER BY s.shard;
END $$;

-- As the one of 0009, but what it tells goes into the fact log, one row a tenant. The signature is the same, so that
-- programs of the version before, which still run while the schema is brought up, tell theirs there too.
CREATE OR REPLACE FUNCTION ossa.journal_write(
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
    p_tenant text[];
    p_told   text[];
    p_number integer[];
    f_tenant text[];
    f_told   text[];
    f_number integer[];
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
            FROM unnest(p_id, p_fence, p_first, p_count, p_agent, p_event)
                AS p (id, fence, first, count, agent, event)
            WHERE o.task_id = p.id AND o.fence = p.fence AND o.owner IS NOT NULL
              AND o.next_seq = coalesce(p.first, o.next_seq)
            RETURNING o.task_id, o.tenant, p.event, p.count
        )
        SELECT array_agg(moved.task_id), array_agg(moved.tenant), array_agg(moved.event), array_agg(moved.count)
        INTO appended, p_tenant, p_told, p_number FROM moved;
    END IF;

    IF cardinality(f_id) > 0 THEN
        WITH gone AS (
            DELETE FROM ossa.open_tasks AS o
            USING unnest(f_id, f_fence, f_first, f_count, f_status, f_outcome, f_event)
                AS f (id, fence, first, count, status, outcome, event)
            WHERE o.task_id = f.id AND o.fence = f.fence AND o.owner IS NOT NULL
              AND o.next_seq = coalesce(f.first, o.next_seq)
            RETURNING o.task_id, o.tenant, f.status, o.fence, o.attempts, o.next_seq + f.count AS next_seq,
                      o.cancel_requested, o.owner, o.agent_id, f.outcome, f.event, f.count + 1 AS count
        ), ended AS (
            INSERT INTO ossa.outcomes (task_id, tenant, status, fence, attempts, next_seq, cancel_requested,
                                       finished_at, owner, agent_id, outcome)
            SELECT g.task_id, g.tenant, g.status, g.fence, g.attempts, g.next_seq, g.cancel_requested,
                   now(), g.owner, g.agent_id, g.outcome
            FROM gone AS g
            RETURNING task_id
        )
        SELECT array_agg(g.task_id), array_agg(g.tenant), array_agg(g.event), array_agg(g.count)
        INTO finished, f_tenant, f_told, f_number FROM gone AS g;
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

    IF cardinality(a_event) > 0 OR cardinality(p_event) > 0 OR cardinality(f_event) > 0 THEN
        INSERT INTO ossa.facts (at, tenant, tasks, count, body)
        SELECT now(), t.tenant, true, sum(t.count),
               '[' || string_agg('[' || to_json(t.id)::text || ',' || t.event || ']', ',') || ']'
        FROM (
            SELECT a.id, a.tenant, a.event, 1 AS count
            FROM unnest(a_id, a_tenant, a_event) AS a (id, tenant, event)
            WHERE cardinality(accepted) = cardinality(a_id) OR a.id = ANY (accepted)
            UNION ALL
            SELECT p.id, p.tenant, p.event, p.count
            FROM unnest(appended, p_tenant, p_told, p_number) AS p (id, tenant, event, count)
            UNION ALL
            SELECT f.id, f.tenant, f.event, f.count
            FROM unnest(finished, f_tenant, f_told, f_number) AS f (id, tenant, event, count)
        ) AS t
        WHERE t.event IS NOT NULL
        GROUP BY t.tenant;
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

-- What nobody had published yet goes into the log, where whoever publishes finds it. The outbox stays, empty.
INSERT INTO ossa.facts (at, tenant, tasks, count, body)
SELECT o.at, o.tenant, true, json_array_length(o.body::json), '[[' || to_json(o.task_id)::text || ',' || o.body || ']]'
FROM ossa.outbox o ORDER BY o.position;
DELETE FROM ossa.outbox;

SELECT ossa.facts_ahead(2);

-- As the one of 0010, and acts of one tenant may add to the fact log.
CREATE OR REPLACE FUNCTION ossa.guard() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $guard$
DECLARE
    -- Written by acts of one tenant; all else such acts read alone.
    written constant text[] := '{api_keys,feedback,originals,memory_items,memory_grants,routing_policies}';
    hidden  constant text[] := '{api_keys,secrets}';
    has_tenant boolean;
    has_app    boolean;
    has_reader boolean;
    mine       text;
    found      record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ossa_tenant') THEN
        BEGIN
            CREATE ROLE ossa_tenant NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;  -- another database's migration, just now
            WHEN insufficient_privilege THEN RAISE NOTICE 'ossa: this user may not make the role ossa_tenant';
        END;
    END IF;
    has_tenant := EXISTS (SELECT FROM pg_roles WHERE rolname = 'ossa_tenant');
    has_app := EXISTS (SELECT FROM pg_roles WHERE rolname = 'ossa_app');
    has_reader := EXISTS (SELECT FROM pg_roles WHERE rolname = 'ossa_reader');

    IF has_tenant THEN
        BEGIN
            IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
                EXECUTE format('GRANT ossa_tenant TO %I', current_user);
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'ossa: this user may not take on the role ossa_tenant';
        END;
        GRANT USAGE ON SCHEMA ossa TO ossa_tenant;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA ossa TO ossa_tenant;
    END IF;
    IF has_app THEN
        GRANT USAGE ON SCHEMA ossa TO ossa_app;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA ossa TO ossa_app;
    END IF;
    IF has_reader THEN
        GRANT USAGE ON SCHEMA ossa TO ossa_reader;
    END IF;

    FOR found IN
        SELECT c.oid, c.relname AS name, c.relrowsecurity AS guarded, c.relispartition AS part,
               EXISTS (SELECT FROM pg_attribute a
                       WHERE a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped) AS of_tenants,
               EXISTS (SELECT FROM pg_attribute a
                       WHERE a.attrelid = c.oid AND a.attname = 'task_id' AND NOT a.attisdropped) AS of_tasks
        FROM pg_class c
        WHERE c.relnamespace = 'ossa'::regnamespace AND c.relkind IN ('r', 'p')
        ORDER BY c.relname
    LOOP
        IF (found.of_tenants OR found.of_tasks) AND NOT found.guarded THEN
            EXECUTE format('ALTER TABLE ossa.%I ENABLE ROW LEVEL SECURITY', found.name);
        END IF;
        CONTINUE WHEN found.part;  -- reached by the whole table alone
        IF has_tenant AND (found.of_tenants OR found.of_tasks) THEN
            EXECUTE format('GRANT SELECT ON ossa.%I TO ossa_tenant', found.name);
            IF found.name = ANY (written) THEN
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ossa.%I TO ossa_tenant', found.name);
            END IF;
            mine := CASE WHEN found.of_tenants THEN $$tenant = current_setting('ossa.tenant', true)$$
                         ELSE format('EXISTS (SELECT FROM ossa.tasks t WHERE t.id = %I.task_id)', found.name) END;
            IF found.name = 'facts' THEN
                GRANT INSERT ON ossa.facts TO ossa_tenant;  -- told by its acts, and never changed
            END IF;
            PERFORM ossa.guard_rows(found.oid, 'ossa_tenant', 'ALL', mine);
        END IF;
        IF has_app THEN
            EXECUTE format('GRANT SELECT ON ossa.%I TO ossa_app', found.name);
            IF found.name <> 'migrations' THEN
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ossa.%I TO ossa_app', found.name);
            END IF;
            IF found.of_tenants OR found.of_tasks THEN
                PERFORM ossa.guard_rows(found.oid, 'ossa_app', 'ALL', 'true');
            END IF;
        END IF;
        IF has_reader AND found.name <> ALL (hidden) THEN
            EXECUTE format('GRANT SELECT ON ossa.%I TO ossa_reader', found.name);
            IF found.of_tenants OR found.of_tasks THEN
                PERFORM ossa.guard_rows(found.oid, 'ossa_reader', 'SELECT', 'true');
            END IF;
        END IF;
    END LOOP;

    -- What runs with the owner's rights is for the runtime alone.
    FOR found IN
        SELECT p.oid::regprocedure::text AS name
        FROM pg_proc p
        WHERE p.pronamespace = 'ossa'::regnamespace AND p.prosecdef
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', found.name);
        IF has_app THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO ossa_app', found.name);
        END IF;
    END LOOP;
END $guard$;
