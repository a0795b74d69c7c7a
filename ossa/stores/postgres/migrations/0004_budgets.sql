-- Budgets, what was spent of them by period, the reservations in between, and what all tasks spent by day.
-- Amounts are billionths of a dollar, so that sums are exact.
--
-- Locks are taken in one order everywhere: reservations by id, then accounts by
-- (budget, period). Who holds an account waits for no reservation.

CREATE TABLE ossa.budgets (
    id      text COLLATE "C" PRIMARY KEY,
    subject text COLLATE "C" NOT NULL,
    tenant  text COLLATE "C",
    period  text NOT NULL,
    hard    bigint NOT NULL CHECK (hard >= 0),
    soft    bigint,
    budget  json NOT NULL
);
CREATE INDEX budgets_of_subject ON ossa.budgets (subject);

CREATE TABLE ossa.budget_accounts (
    budget_id  text COLLATE "C" NOT NULL,
    period_key text COLLATE "C" NOT NULL,
    reserved   bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    spent      bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    in_doubt   bigint NOT NULL DEFAULT 0 CHECK (in_doubt >= 0),
    used_at    timestamptz NOT NULL,
    PRIMARY KEY (budget_id, period_key)
) WITH (fillfactor = 50);

CREATE TABLE ossa.reservations (
    id          text COLLATE "C" PRIMARY KEY,
    task_id     text COLLATE "C" NOT NULL,
    fence       integer NOT NULL,
    tenant      text NOT NULL,
    pool        text NOT NULL,
    manifest    text NOT NULL,
    budget_ids  text[] NOT NULL,
    period_keys text[] NOT NULL,
    amount      bigint NOT NULL,
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'settled', 'in_doubt')),
    expires_at  timestamptz NOT NULL,
    closed_at   timestamptz
) WITH (fillfactor = 70);
CREATE INDEX reservations_open ON ossa.reservations (id) WHERE state = 'open';
CREATE INDEX reservations_closed ON ossa.reservations (closed_at) WHERE state <> 'open';

-- Kept JSON, to look into: a prompt may hold \u0000, which the server refuses to read.
CREATE FUNCTION ossa.readable(document text) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(document, '\u0000', '\u0001')::jsonb;

-- A count in it, whatever an endpoint claimed.
CREATE FUNCTION ossa.counted(document jsonb, name text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(least((document ->> name)::numeric, 1e15), 0)::bigint;

-- What ended tasks used, by day: written in the transaction that ends them, so that a report need not read the journal.
-- Several rows each, so that concurrent commits do not wait for one another.
CREATE TABLE ossa.spending_daily (
    day               date NOT NULL,
    tenant            text COLLATE "C" NOT NULL,
    pool              text COLLATE "C" NOT NULL,
    manifest          text COLLATE "C" NOT NULL,
    model             text COLLATE "C" NOT NULL,
    tier              text COLLATE "C" NOT NULL,
    shard             smallint NOT NULL,
    tasks             bigint NOT NULL DEFAULT 0,
    succeeded         bigint NOT NULL DEFAULT 0,
    model_calls       bigint NOT NULL DEFAULT 0,
    prompt_tokens     bigint NOT NULL DEFAULT 0,
    completion_tokens bigint NOT NULL DEFAULT 0,
    cached_tokens     bigint NOT NULL DEFAULT 0,
    saved_tokens      bigint NOT NULL DEFAULT 0,
    cost_usd          double precision NOT NULL DEFAULT 0,
    cost_squared      double precision NOT NULL DEFAULT 0,
    in_doubt_usd      double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (day, tenant, pool, manifest, model, tier, shard)
) WITH (fillfactor = 50);

-- Proposals of the optimiser that were approved.
CREATE TABLE ossa.cost_approvals (
    id       text COLLATE "C" PRIMARY KEY,
    at       timestamptz NOT NULL,
    approval json NOT NULL
);

CREATE FUNCTION ossa.add_spending() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO ossa.spending_daily AS d (
        day, tenant, pool, manifest, model, tier, shard, tasks, succeeded,
        model_calls, prompt_tokens, completion_tokens, cached_tokens, saved_tokens, cost_usd,
        cost_squared
    )
    SELECT (e.finished_at AT TIME ZONE 'UTC')::date, e.tenant, coalesce(o.found ->> 'pool', ''),
           coalesce(o.found ->> 'manifest', ''), coalesce(o.found ->> 'model', ''), coalesce(o.found ->> 'tier', ''),
           pg_backend_pid() % 16, count(*), count(*) FILTER (WHERE e.status = 'succeeded'),
           sum(ossa.counted(u.used, 'model_calls')), sum(ossa.counted(u.used, 'prompt_tokens')),
           sum(ossa.counted(u.used, 'completion_tokens')), sum(ossa.counted(u.used, 'cached_tokens')),
           sum(ossa.counted(u.used, 'saved_tokens')), sum(u.cost), sum(u.cost ^ 2)
    FROM ended AS e,
         LATERAL (SELECT ossa.readable(e.outcome) AS found OFFSET 0) AS o,
         LATERAL (SELECT o.found -> 'usage' AS used,
                         coalesce((o.found #>> '{usage,cost_usd}')::double precision, 0) AS cost OFFSET 0) AS u
    GROUP BY 1, 2, 3, 4, 5, 6
    ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (day, tenant, pool, manifest, model, tier, shard)
    DO UPDATE SET tasks = d.tasks + excluded.tasks, succeeded = d.succeeded + excluded.succeeded,
                  model_calls = d.model_calls + excluded.model_calls,
                  prompt_tokens = d.prompt_tokens + excluded.prompt_tokens,
                  completion_tokens = d.completion_tokens + excluded.completion_tokens,
                  cached_tokens = d.cached_tokens + excluded.cached_tokens,
                  saved_tokens = d.saved_tokens + excluded.saved_tokens, cost_usd = d.cost_usd + excluded.cost_usd,
                  cost_squared = d.cost_squared + excluded.cost_squared;
    RETURN NULL;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RAISE WARNING 'ossa: % outcomes are missing in spending_daily: %', (SELECT count(*) FROM ended), SQLERRM;
    RETURN NULL;  -- rather a gap in a report than a task that cannot end
END $$;
CREATE TRIGGER outcomes_spend AFTER INSERT ON ossa.outcomes REFERENCING NEW TABLE AS ended
FOR EACH STATEMENT EXECUTE FUNCTION ossa.add_spending();

-- Lock these accounts, in order; those that are missing are made.
CREATE FUNCTION ossa.budget_hold(ids text[], keys text[], at timestamptz) RETURNS void LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO ossa.budget_accounts (budget_id, period_key, used_at)
    SELECT k.id, k.key, at
    FROM unnest(ids, keys) AS k (id, key)
    WHERE NOT EXISTS (SELECT FROM ossa.budget_accounts a WHERE a.budget_id = k.id AND a.period_key = k.key)
    ORDER BY k.id, k.key
    ON CONFLICT DO NOTHING;
    PERFORM FROM ossa.budget_accounts a
    WHERE (a.budget_id, a.period_key) IN (SELECT k.id, k.key FROM unnest(ids, keys) AS k (id, key))
    ORDER BY a.budget_id, a.period_key
    FOR UPDATE OF a;
END $$;

-- The budgets that apply come back in any case, by id: as they were before this
-- reservation, or, when the id was known, with it. `granted` NULL: too little is left.
CREATE FUNCTION ossa.budget_reserve(
    r_id text, r_tenant text, r_subjects text[], r_task text, r_fence integer,
    r_least bigint, r_most bigint, r_ttl double precision, r_now timestamptz,
    OUT at timestamptz, OUT granted bigint, OUT known boolean,
    OUT subjects text[], OUT periods text[], OUT hards bigint[], OUT softs bigint[],
    OUT used bigint[], OUT reserved bigint[]
) LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    ids  text[];
    keys text[];
    lowest bigint;
BEGIN
    at := coalesce(r_now, now());

    SELECT r.amount, r.budget_ids, r.period_keys INTO granted, ids, keys FROM ossa.reservations r WHERE r.id = r_id;
    known := FOUND;
    IF NOT known THEN
        SELECT array_agg(b.id ORDER BY b.id),
               array_agg(CASE b.period WHEN 'day' THEN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
                                       WHEN 'month' THEN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM')
                                       ELSE r_task END ORDER BY b.id)
        INTO ids, keys
        FROM ossa.budgets b
        WHERE b.subject = ANY (r_subjects) AND (b.tenant IS NULL OR b.tenant = r_tenant);
        IF ids IS NULL THEN
            granted := r_most;
            RETURN;
        END IF;
        PERFORM ossa.budget_hold(ids, keys, at);
    END IF;

    SELECT array_agg(b.subject ORDER BY b.id), array_agg(b.period ORDER BY b.id),
           array_agg(b.hard ORDER BY b.id), array_agg(b.soft ORDER BY b.id),
           array_agg(a.spent + a.in_doubt ORDER BY b.id), array_agg(a.reserved ORDER BY b.id),
           min(b.hard - a.spent - a.in_doubt - a.reserved)
    INTO subjects, periods, hards, softs, used, reserved, lowest
    FROM unnest(ids, keys) AS k (id, key)
    JOIN ossa.budgets b ON b.id = k.id
    JOIN ossa.budget_accounts a ON a.budget_id = k.id AND a.period_key = k.key;
    IF known THEN
        RETURN;
    END IF;

    granted := least(r_most, lowest);
    IF granted < r_least THEN
        granted := NULL;
        RETURN;
    END IF;
    INSERT INTO ossa.reservations (id, task_id, fence, tenant, pool, manifest, budget_ids, period_keys, amount, expires_at)
    VALUES (r_id, r_task, r_fence, r_tenant,
            coalesce((SELECT substr(n, length('pool:') + 1) FROM unnest(r_subjects) AS n WHERE n LIKE 'pool:%'), ''),
            coalesce((SELECT substr(n, length('agent:') + 1) FROM unnest(r_subjects) AS n WHERE n LIKE 'agent:%'), ''),
            ids, keys, granted, at + make_interval(secs => r_ttl))
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN  -- the same reservation was made while this one waited for the accounts
        known := true;
        SELECT r.amount INTO granted FROM ossa.reservations r WHERE r.id = r_id;
        RETURN;
    END IF;
    UPDATE ossa.budget_accounts a SET reserved = a.reserved + granted, used_at = at
    FROM unnest(ids, keys) AS k (id, key)
    WHERE a.budget_id = k.id AND a.period_key = k.key;
END $$;

-- Many reservations in one commit: all their accounts are locked first, in order, then each is decided in turn.
CREATE FUNCTION ossa.budget_reserve_all(asked json, r_now timestamptz) RETURNS TABLE (
    id text, at timestamptz, granted bigint, known boolean,
    subjects text[], periods text[], hards bigint[], softs bigint[], used bigint[], reserved bigint[]
) LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    ids  text[];
    keys text[];
BEGIN
    SELECT array_agg(k.id), array_agg(k.key) INTO ids, keys
    FROM (
        SELECT DISTINCT b.id, CASE b.period
            WHEN 'day' THEN to_char(coalesce(r_now, now()) AT TIME ZONE 'UTC', 'YYYY-MM-DD')
            WHEN 'month' THEN to_char(coalesce(r_now, now()) AT TIME ZONE 'UTC', 'YYYY-MM')
            ELSE r.task_id END AS key
        FROM json_to_recordset(asked) AS r (tenant text, subjects text[], task_id text)
        JOIN ossa.budgets b ON b.subject = ANY (r.subjects) AND (b.tenant IS NULL OR b.tenant = r.tenant)
    ) AS k;
    IF ids IS NOT NULL THEN
        PERFORM ossa.budget_hold(ids, keys, coalesce(r_now, now()));
    END IF;
    RETURN QUERY
    SELECT r.id, f.*
    FROM json_to_recordset(asked) AS r (
        id text, tenant text, subjects text[], task_id text, fence integer, least bigint, most bigint,
        ttl_s double precision
    ), ossa.budget_reserve(r.id, r.tenant, r.subjects, r.task_id, r.fence, r.least, r.most, r.ttl_s, r_now) AS f;
END $$;

-- Close reservations: `s_cost` NULL is a doubt. Returns those that changed.
CREATE FUNCTION ossa.budget_settle(s_id text[], s_cost bigint[], s_now timestamptz) RETURNS text[] LANGUAGE plpgsql
AS $$
DECLARE
    closing text[];
BEGIN
    SELECT array_agg(c.id) INTO closing
    FROM (
        SELECT r.id
        FROM ossa.reservations r
        JOIN unnest(s_id, s_cost) AS s (id, cost) ON s.id = r.id
        WHERE r.state = 'open' OR (r.state = 'in_doubt' AND s.cost IS NOT NULL)
        ORDER BY r.id
        FOR UPDATE OF r
    ) AS c;
    IF closing IS NULL THEN
        RETURN '{}';
    END IF;

    PERFORM FROM ossa.budget_accounts a
    WHERE (a.budget_id, a.period_key) IN (
        SELECT k.id, k.key
        FROM ossa.reservations r, unnest(r.budget_ids, r.period_keys) AS k (id, key)
        WHERE r.id = ANY (closing)
    )
    ORDER BY a.budget_id, a.period_key
    FOR UPDATE OF a;

    UPDATE ossa.budget_accounts a
    SET reserved = a.reserved - d.freed, spent = a.spent + d.spent, in_doubt = a.in_doubt + d.doubted,
        used_at = coalesce(s_now, now())
    FROM (
        SELECT k.id, k.key,
               sum(CASE WHEN r.state = 'open' THEN r.amount ELSE 0 END)::bigint AS freed,
               sum(coalesce(s.cost, 0))::bigint AS spent,
               sum(CASE WHEN s.cost IS NULL THEN r.amount WHEN r.state = 'in_doubt' THEN -r.amount ELSE 0 END)::bigint
                   AS doubted
        FROM ossa.reservations r
        JOIN unnest(s_id, s_cost) AS s (id, cost) ON s.id = r.id,
        unnest(r.budget_ids, r.period_keys) AS k (id, key)
        WHERE r.id = ANY (closing)
        GROUP BY k.id, k.key
    ) AS d
    WHERE a.budget_id = d.id AND a.period_key = d.key;

    INSERT INTO ossa.spending_daily AS d (day, tenant, pool, manifest, model, tier, shard, in_doubt_usd)
    SELECT (coalesce(s_now, now()) AT TIME ZONE 'UTC')::date, r.tenant, r.pool, r.manifest, '', '',
           pg_backend_pid() % 16, sum(CASE WHEN s.cost IS NULL THEN r.amount ELSE -r.amount END) / 1e9
    FROM ossa.reservations r
    JOIN unnest(s_id, s_cost) AS s (id, cost) ON s.id = r.id
    WHERE r.id = ANY (closing) AND (s.cost IS NULL) = (r.state = 'open')
    GROUP BY r.tenant, r.pool, r.manifest
    ORDER BY r.tenant, r.pool, r.manifest
    ON CONFLICT (day, tenant, pool, manifest, model, tier, shard)
    DO UPDATE SET in_doubt_usd = d.in_doubt_usd + excluded.in_doubt_usd;

    UPDATE ossa.reservations r
    SET state = CASE WHEN s.cost IS NULL THEN 'in_doubt' ELSE 'settled' END, closed_at = coalesce(s_now, now())
    FROM unnest(s_id, s_cost) AS s (id, cost)
    WHERE r.id = s.id AND r.id = ANY (closing);
    RETURN closing;
END $$;

-- Close open reservations that nobody will settle. A step in the journal that names its reservation says what it cost.
CREATE FUNCTION ossa.budget_recover(
    r_most integer, r_now timestamptz, OUT settled integer, OUT doubts integer, OUT doubted bigint
) LANGUAGE plpgsql
AS $$
DECLARE
    ids     text[];
    amounts bigint[];
    costs   bigint[];
BEGIN
    SELECT array_agg(c.id), array_agg(c.amount), array_agg(c.cost) INTO ids, amounts, costs
    FROM (
        SELECT r.id, r.amount, (
            SELECT round((ossa.readable(s.body) #>> '{usage,cost_usd}')::double precision * 1e9)::bigint
            FROM ossa.steps s
            WHERE s.task_id = r.task_id AND s.fence = r.fence AND s.kind = 'model'
              AND ossa.readable(s.body) #>> '{payload,reservation}' = r.id
            LIMIT 1
        ) AS cost
        FROM ossa.reservations r
        LEFT JOIN ossa.open_tasks o ON o.task_id = r.task_id AND o.fence = r.fence
        LEFT JOIN ossa.dispatchers d ON d.owner = o.owner AND d.expires_at > now()
        WHERE r.state = 'open'
          AND (r.expires_at <= coalesce(r_now, now()) OR (r.task_id <> '' AND d.owner IS NULL))
        ORDER BY r.id
        LIMIT r_most
        FOR UPDATE OF r SKIP LOCKED
    ) AS c;
    settled := 0;
    doubts := 0;
    doubted := 0;
    IF ids IS NOT NULL THEN
        PERFORM ossa.budget_settle(ids, costs, r_now);
        SELECT count(c.cost), count(*) - count(c.cost), coalesce(sum(c.amount) FILTER (WHERE c.cost IS NULL), 0)
        INTO settled, doubts, doubted
        FROM unnest(amounts, costs) AS c (amount, cost);
    END IF;
END $$;
