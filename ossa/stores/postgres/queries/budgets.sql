-- name: put
WITH saved AS (
    INSERT INTO ossa.budgets AS b (id, subject, tenant, period, hard, soft, budget)
    VALUES (%(id)s, %(subject)s, %(tenant)s, %(period)s, %(hard)s, %(soft)s, %(budget)s::json)
    ON CONFLICT (id) DO UPDATE SET hard = excluded.hard, soft = excluded.soft, budget = excluded.budget
    WHERE b.budget::text <> excluded.budget::text
    RETURNING b.id
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM saved

-- name: budgets
SELECT b.budget::text AS budget, coalesce(%(now)s::timestamptz, now()) AS at,
       coalesce(a.spent, 0) AS spent, coalesce(a.reserved, 0) AS reserved, coalesce(a.in_doubt, 0) AS in_doubt
FROM ossa.budgets b
LEFT JOIN ossa.budget_accounts a ON a.budget_id = b.id AND a.period_key = CASE b.period
    WHEN 'day' THEN to_char(coalesce(%(now)s::timestamptz, now()) AT TIME ZONE 'UTC', 'YYYY-MM-DD')
    WHEN 'month' THEN to_char(coalesce(%(now)s::timestamptz, now()) AT TIME ZONE 'UTC', 'YYYY-MM')
    ELSE substr(b.subject, length('task:') + 1) END
ORDER BY b.id

-- name: remove
WITH gone AS (
    DELETE FROM ossa.budgets b WHERE b.id = %(id)s RETURNING b.id, b.subject, b.tenant, b.budget
)
SELECT g.id, ossa.tell(
    CASE WHEN g.subject LIKE 'tenant:%%' THEN substr(g.subject, length('tenant:') + 1)
         ELSE coalesce(g.tenant, ossa.readable(g.budget::text) ->> 'owner') END,
    %(told_key)s, 1, %(told)s
) AS told
FROM gone g

-- name: reserve
SELECT * FROM ossa.budget_reserve_all(%(asked)s::json, %(now)s)

-- name: settle
SELECT ossa.budget_settle(%(ids)s::text[], %(costs)s::bigint[], %(now)s) AS changed

-- name: recover
SELECT * FROM ossa.budget_recover(%(most)s::integer, %(now)s)

-- name: applying
SELECT b.budget::text AS budget FROM ossa.budgets b
WHERE b.subject = ANY (%(subjects)s::text[]) AND (b.tenant IS NULL OR b.tenant = %(tenant)s)
ORDER BY b.id

-- name: mark
WITH marked AS (
    INSERT INTO ossa.budget_marks (budget_id, period_key, hard, at)
    VALUES (%(id)s, %(period_key)s, %(hard)s, coalesce(%(now)s::timestamptz, now()))
    ON CONFLICT DO NOTHING
    RETURNING budget_id
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM marked

-- name: forget_marks
DELETE FROM ossa.budget_marks m
WHERE m.at < coalesce(%(now)s::timestamptz, now()) - make_interval(secs => %(kept_s)s::double precision)

-- name: forget_reservations
DELETE FROM ossa.reservations r
WHERE r.state <> 'open'
  AND r.closed_at < coalesce(%(now)s::timestamptz, now()) - make_interval(secs => %(kept_s)s::double precision)

-- name: forget_tasks
DELETE FROM ossa.budget_accounts a
WHERE a.budget_id LIKE '%%/task' AND a.reserved = 0
  AND a.used_at < coalesce(%(now)s::timestamptz, now()) - make_interval(secs => %(kept_s)s::double precision)
