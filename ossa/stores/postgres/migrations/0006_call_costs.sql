-- A model call's cost in billionths of a dollar, whatever an endpoint claimed: at most a million dollars, never negative.
CREATE FUNCTION ossa.call_nanos(usd text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(greatest(least(coalesce(nullif(usd::numeric, 'NaN'), 0), 1e6), 0) * 1e9)::bigint;

-- Close open reservations that nobody will settle. A step in the journal that names its reservation says what it cost.
CREATE OR REPLACE FUNCTION ossa.budget_recover(
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
            SELECT ossa.call_nanos(ossa.readable(s.body) #>> '{usage,cost_usd}')
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
