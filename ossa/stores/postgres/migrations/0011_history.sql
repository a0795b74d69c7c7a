-- Ended tasks do not stay for ever. Their rows in `tasks` go in batches; what is large, and only ever inserted into,
-- lies in parts of a week each, and goes by dropping a part: no vacuum, no dead rows. A task's id begins with the
-- millisecond of its birth, so a range of ids is a range of time. `tasks` itself is one table, because its idempotency
-- keys are unique over all time.

CREATE FUNCTION ossa.task_floor(at timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN 'task_' || lpad(to_hex(greatest(floor(extract(epoch FROM at) * 1000), 0)::bigint), 12, '0');

-- The Monday, in UTC.
CREATE FUNCTION ossa.week_of(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_bin('168 hours', at, timestamptz '2026-01-05 00:00:00+00');

CREATE TABLE ossa.history_parts (
    part    text PRIMARY KEY,
    whole   text NOT NULL,
    ends_at timestamptz NOT NULL
);

DROP TRIGGER outcomes_spend ON ossa.outcomes;

-- What was written so far, and this week, is the first part. The default part takes what no other one does.
DO $$
DECLARE
    kind     text;
    ends_at  timestamptz := ossa.week_of(now()) + interval '168 hours';
BEGIN
    FOREACH kind IN ARRAY '{steps,outcomes}'::text[] LOOP
        EXECUTE format('ALTER TABLE ossa.%I RENAME TO %I', kind, kind || '_before');
        EXECUTE format('ALTER INDEX ossa.%I RENAME TO %I', kind || '_pkey', kind || '_before_pkey');
        EXECUTE format('CREATE TABLE ossa.%I (LIKE ossa.%I INCLUDING ALL) PARTITION BY RANGE (task_id)',
                       kind, kind || '_before');
        EXECUTE format('ALTER TABLE ossa.%I ATTACH PARTITION ossa.%I FOR VALUES FROM (MINVALUE) TO (%L)',
                       kind, kind || '_before', ossa.task_floor(ends_at));
        EXECUTE format('CREATE TABLE ossa.%I PARTITION OF ossa.%I DEFAULT', kind || '_default', kind);
        INSERT INTO ossa.history_parts (part, whole, ends_at) VALUES (kind || '_before', kind, ends_at);
    END LOOP;
END $$;

CREATE TRIGGER outcomes_spend AFTER INSERT ON ossa.outcomes REFERENCING NEW TABLE AS ended
FOR EACH STATEMENT EXECUTE FUNCTION ossa.add_spending();

ALTER TABLE ossa.tasks SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.2);

-- One process at a time; the others go on with something else.
CREATE FUNCTION ossa.history_mine() RETURNS boolean LANGUAGE sql VOLATILE
RETURN pg_try_advisory_xact_lock(1869837160);

-- Make the parts of this week and the next ones; returns how many were made. It runs with the owner's rights, and can
-- do nothing else. A week whose first rows are in the default part already stays there.
CREATE FUNCTION ossa.history_ahead(weeks integer) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    made      integer := 0;
    kind      text;
    name      text;
    starts_at timestamptz;
    stops_at  timestamptz;
BEGIN
    IF NOT ossa.history_mine() THEN
        RETURN 0;
    END IF;
    FOR n IN 0 .. least(weeks, 8) LOOP
        starts_at := ossa.week_of(now()) + n * interval '168 hours';
        stops_at := starts_at + interval '168 hours';
        FOREACH kind IN ARRAY '{steps,outcomes}'::text[] LOOP
            CONTINUE WHEN EXISTS (SELECT FROM ossa.history_parts p WHERE p.whole = kind AND p.ends_at >= stops_at);
            name := kind || to_char(starts_at AT TIME ZONE 'UTC', '_YYYYMMDD');
            BEGIN
                -- Attached, not made in place: that takes no lock which writers wait for.
                EXECUTE format('CREATE TABLE ossa.%I (LIKE ossa.%I INCLUDING ALL)', name, kind);
                EXECUTE format('ALTER TABLE ossa.%I ENABLE ROW LEVEL SECURITY', name);
                EXECUTE format('ALTER TABLE ossa.%I ATTACH PARTITION ossa.%I FOR VALUES FROM (%L) TO (%L)',
                               kind, name, ossa.task_floor(starts_at), ossa.task_floor(stops_at));
                INSERT INTO ossa.history_parts (part, whole, ends_at) VALUES (name, kind, stops_at);
                made := made + 1;
            EXCEPTION WHEN check_violation THEN
                RAISE WARNING 'ossa: % stays in the default part', name;
            END;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

-- Remove up to `most` tasks that ended before that time. NULL: another process is at it.
CREATE FUNCTION ossa.history_prune(before timestamptz, most integer) RETURNS integer LANGUAGE plpgsql
SET enable_hashjoin = off AS $$
DECLARE
    ids text[];
BEGIN
    IF NOT ossa.history_mine() THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(old.id) INTO ids
    FROM (
        SELECT t.id
        FROM ossa.tasks t
        JOIN ossa.outcomes e ON e.task_id = t.id
        WHERE t.id < ossa.task_floor(before) AND t.created_at < before AND e.finished_at < before
        ORDER BY t.id
        LIMIT most
    ) AS old;
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM ossa.tasks t WHERE t.id = ANY (ids);
    DELETE FROM ossa.feedback f WHERE f.task_id = ANY (ids);
    DELETE FROM ossa.usage_daily u WHERE u.day < (before AT TIME ZONE 'UTC')::date - 1;
    RETURN cardinality(ids);
END $$;

-- Drop one part of which no task is left; returns its name. Its rows were of tasks that are gone: nobody sees them.
-- What of the default part is as old goes row by row.
CREATE FUNCTION ossa.history_drop(before timestamptz, most integer) RETURNS text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    gone text;
BEGIN
    IF NOT ossa.history_mine() THEN
        RETURN NULL;
    END IF;
    SELECT p.part INTO gone
    FROM ossa.history_parts p
    WHERE p.ends_at <= before
      AND NOT EXISTS (SELECT FROM ossa.tasks t WHERE t.id < ossa.task_floor(p.ends_at))
    ORDER BY p.ends_at, p.part
    LIMIT 1;
    IF gone IS NOT NULL THEN
        EXECUTE format('DROP TABLE ossa.%I', gone);
        DELETE FROM ossa.history_parts p WHERE p.part = gone;
        RETURN gone;
    END IF;
    DELETE FROM ossa.steps_default WHERE (task_id, seq) IN (
        SELECT d.task_id, d.seq FROM ossa.steps_default d
        WHERE d.task_id < ossa.task_floor(before) AND NOT EXISTS (SELECT FROM ossa.tasks t WHERE t.id = d.task_id)
        LIMIT most
    );
    DELETE FROM ossa.outcomes_default WHERE task_id IN (
        SELECT d.task_id FROM ossa.outcomes_default d
        WHERE d.task_id < ossa.task_floor(before) AND NOT EXISTS (SELECT FROM ossa.tasks t WHERE t.id = d.task_id)
        LIMIT most
    );
    RETURN NULL;
END $$;
