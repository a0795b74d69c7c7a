-- name: put
INSERT INTO ossa.budgets (id, subject, tenant, period, hard, soft, budget)
VALUES (%(id)s, %(subject)s, %(tenant)s, %(period)s, %(hard)s, %(soft)s, %(budget)s::json)
ON CONFLICT (id) DO UPDATE SET hard = excluded.hard, soft = excluded.soft, budget = excluded.budget

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
DELETE FROM ossa.budgets b WHERE b.id = %(id)s RETURNING b.id

-- name: reserve
SELECT * FROM ossa.budget_reserve_all(%(asked)s::json, %(now)s)

-- name: settle
SELECT ossa.budget_settle(%(ids)s::text[], %(costs)s::bigint[], %(now)s) AS changed

-- name: recover
SELECT * FROM ossa.budget_recover(%(most)s::integer, %(now)s)

-- name: forget_reservations
DELETE FROM ossa.reservations r
WHERE r.state <> 'open'
  AND r.closed_at < coalesce(%(now)s::timestamptz, now()) - make_interval(secs => %(kept_s)s::double precision)

-- name: forget_tasks
DELETE FROM ossa.budget_accounts a
WHERE a.budget_id LIKE '%%/task' AND a.reserved = 0
  AND a.used_at < coalesce(%(now)s::timestamptz, now()) - make_interval(secs => %(kept_s)s::double precision)
