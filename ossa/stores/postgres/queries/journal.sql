-- name: write
SELECT * FROM ossa.journal_write(
    %b, %b, %b, %b, %b, %b,
    %b, %b, %b, %b, %b,
    %b, %b, %b, %b, %b, %b,
    %b, %b,
    %b, %b, %b, %b, %b,
    %b, %b, %b, %b,
    %b, %b, %b
)

-- name: standing
SELECT CASE WHEN e.task_id IS NOT NULL THEN e.status WHEN o.owner IS NULL THEN 'queued' ELSE 'running' END AS status,
       coalesce(e.fence, o.fence) AS fence,
       coalesce(e.next_seq, o.next_seq) AS next_seq,
       ARRAY(SELECT s.seq FROM ossa.steps s WHERE s.task_id = t.id AND s.seq >= %(first)s ORDER BY s.seq) AS seqs,
       ARRAY(SELECT s.fence FROM ossa.steps s WHERE s.task_id = t.id AND s.seq >= %(first)s ORDER BY s.seq) AS fences,
       ARRAY(SELECT s.kind FROM ossa.steps s WHERE s.task_id = t.id AND s.seq >= %(first)s ORDER BY s.seq) AS kinds
FROM ossa.tasks t
LEFT JOIN ossa.open_tasks o ON o.task_id = t.id
LEFT JOIN ossa.outcomes e ON e.task_id = t.id
WHERE t.id = %(task_id)s

-- name: occupant
SELECT t.id, t.tenant, t.body_sha256
FROM ossa.tasks t
WHERE t.id = %(id)s OR (t.tenant = %(tenant)s AND t.idempotency_key = %(key)s)
ORDER BY t.id = %(id)s DESC
LIMIT 1

-- name: has_lease
SELECT EXISTS (SELECT FROM ossa.dispatchers d WHERE d.owner = %(owner)s AND d.expires_at > now()) AS held

-- name: claim
-- Candidates first, then locks: a row that another owner took meanwhile is checked
-- again, and only its fence tells. (The joined lease would be that of the old owner.)
-- More candidates than wanted, so that concurrent owners find each their own.
WITH candidates AS MATERIALIZED (
    SELECT o.task_id, o.fence
    FROM ossa.open_tasks o
    LEFT JOIN ossa.dispatchers d ON d.owner = o.owner
    WHERE EXISTS (SELECT FROM ossa.dispatchers mine WHERE mine.owner = %(owner)s AND mine.expires_at > now())
      AND (o.owner IS NULL OR d.owner IS NULL OR d.expires_at <= now()
           OR (o.owner = %(owner)s AND o.claim_id = %(claim_id)s))
    ORDER BY o.task_id
    LIMIT %(limit)s::integer + 256
), ready AS (
    SELECT o.task_id
    FROM candidates c
    JOIN ossa.open_tasks o ON o.task_id = c.task_id AND o.fence = c.fence
    ORDER BY o.task_id
    LIMIT %(limit)s
    FOR UPDATE OF o SKIP LOCKED
), taken AS (
    UPDATE ossa.open_tasks o
    SET owner = %(owner)s, fence = o.fence + 1, attempts = o.attempts + 1, agent_id = NULL,
        claim_id = %(claim_id)s, updated_at = now()
    FROM ready
    WHERE o.task_id = ready.task_id
    RETURNING o.*
)
SELECT t.id, t.tenant, t.idempotency_key, t.created_at, t.request,
       'running' AS status, o.owner, o.fence, o.attempts, o.cancel_requested, o.updated_at,
       NULL AS outcome, NULL AS finished_at
FROM taken o
JOIN ossa.tasks t ON t.id = o.task_id
ORDER BY t.id

-- name: renew
INSERT INTO ossa.dispatchers (owner, expires_at)
VALUES (%(owner)s, now() + make_interval(secs => %(ttl_s)s))
ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at

-- name: forget_dispatchers
DELETE FROM ossa.dispatchers d
WHERE d.expires_at < now() - interval '1 day'

-- name: retire
DELETE FROM ossa.dispatchers WHERE owner = %(owner)s

-- name: get
SELECT t.id, t.tenant, t.idempotency_key, t.created_at, t.request,
       CASE WHEN e.task_id IS NOT NULL THEN e.status WHEN o.owner IS NULL THEN 'queued' ELSE 'running' END AS status,
       coalesce(e.owner, o.owner) AS owner, coalesce(e.fence, o.fence) AS fence,
       coalesce(e.attempts, o.attempts) AS attempts,
       coalesce(e.cancel_requested, o.cancel_requested) AS cancel_requested,
       coalesce(e.finished_at, o.updated_at) AS updated_at, e.outcome, e.finished_at
FROM ossa.tasks t
LEFT JOIN ossa.open_tasks o ON o.task_id = t.id
LEFT JOIN ossa.outcomes e ON e.task_id = t.id
WHERE t.id = %(task_id)s AND (%(tenant)s::text IS NULL OR t.tenant = %(tenant)s)

-- name: tasks
SELECT t.id, t.tenant, t.idempotency_key, t.created_at, t.request,
       CASE WHEN e.task_id IS NOT NULL THEN e.status WHEN o.owner IS NULL THEN 'queued' ELSE 'running' END AS status,
       coalesce(e.owner, o.owner) AS owner, coalesce(e.fence, o.fence) AS fence,
       coalesce(e.attempts, o.attempts) AS attempts,
       coalesce(e.cancel_requested, o.cancel_requested) AS cancel_requested,
       coalesce(e.finished_at, o.updated_at) AS updated_at, e.outcome, e.finished_at
FROM ossa.tasks t
LEFT JOIN ossa.open_tasks o ON o.task_id = t.id
LEFT JOIN ossa.outcomes e ON e.task_id = t.id
WHERE t.tenant = %(tenant)s AND t.id < coalesce(%(before)s, chr(1114111))
ORDER BY t.id DESC
LIMIT %(limit)s

-- name: tasks_succeeded
SELECT t.id, t.tenant, t.idempotency_key, t.created_at, t.request, e.status, e.owner, e.fence, e.attempts,
       e.cancel_requested, e.finished_at AS updated_at, e.outcome, e.finished_at
FROM ossa.tasks t
JOIN ossa.outcomes e ON e.task_id = t.id
WHERE t.tenant = %(tenant)s AND t.id < coalesce(%(before)s, chr(1114111)) AND e.status = 'succeeded'
ORDER BY t.id DESC
LIMIT %(limit)s

-- name: tasks_ended_otherwise
SELECT t.id, t.tenant, t.idempotency_key, t.created_at, t.request, e.status, e.owner, e.fence, e.attempts,
       e.cancel_requested, e.finished_at AS updated_at, e.outcome, e.finished_at
FROM ossa.outcomes e
JOIN ossa.tasks t ON t.id = e.task_id
WHERE e.tenant = %(tenant)s AND e.status = %(status)s AND e.status <> 'succeeded'
  AND e.task_id < coalesce(%(before)s, chr(1114111))
ORDER BY e.task_id DESC
LIMIT %(limit)s

-- name: tasks_open
SELECT t.id, t.tenant, t.idempotency_key, t.created_at, t.request,
       CASE WHEN o.owner IS NULL THEN 'queued' ELSE 'running' END AS status,
       o.owner, o.fence, o.attempts, o.cancel_requested, o.updated_at, NULL AS outcome, NULL AS finished_at
FROM ossa.open_tasks o
JOIN ossa.tasks t ON t.id = o.task_id
WHERE o.tenant = %(tenant)s AND (o.owner IS NULL) = (%(status)s = 'queued')
  AND o.task_id < coalesce(%(before)s, chr(1114111))
ORDER BY o.task_id DESC
LIMIT %(limit)s

-- name: steps
SELECT s.body FROM ossa.steps s
WHERE s.task_id = %(task_id)s AND s.seq > %(after)s
  AND (%(tenant)s::text IS NULL OR EXISTS (SELECT FROM ossa.tasks t WHERE t.id = %(task_id)s AND t.tenant = %(tenant)s))
ORDER BY s.seq

-- name: outcome
SELECT e.outcome FROM ossa.outcomes e WHERE e.task_id = %(task_id)s

-- name: lock_open
SELECT o.owner FROM ossa.open_tasks o WHERE o.task_id = %(task_id)s AND o.tenant = %(tenant)s FOR UPDATE

-- name: ask_to_cancel
UPDATE ossa.open_tasks SET cancel_requested = true, updated_at = now()
WHERE task_id = %(task_id)s AND NOT cancel_requested

-- name: cancel_queued
WITH gone AS (
    DELETE FROM ossa.open_tasks o WHERE o.task_id = %(task_id)s RETURNING o.*
), told AS (
    INSERT INTO ossa.facts (at, tenant, tasks, count, body)
    SELECT now(), g.tenant, true, 1, '[[' || to_json(g.task_id)::text || ',' || %(event)s || ']]'
    FROM gone g WHERE %(event)s::text IS NOT NULL
)
INSERT INTO ossa.outcomes (task_id, tenant, status, fence, attempts, next_seq, cancel_requested,
                           finished_at, owner, agent_id, outcome)
SELECT g.task_id, g.tenant, 'cancelled', g.fence, g.attempts, g.next_seq, true, now(), NULL, g.agent_id, %(outcome)s
FROM gone g

-- name: cancel_requests
SELECT o.task_id FROM ossa.open_tasks o WHERE o.owner = %(owner)s AND o.cancel_requested ORDER BY o.task_id

-- name: count_open
SELECT count(*) AS open FROM ossa.open_tasks o WHERE %(tenant)s::text IS NULL OR o.tenant = %(tenant)s

-- name: backlog
-- A request's JSON begins with its target: the first characters are enough, however long the prompt is.
SELECT substring(left(t.request, 1024) FROM '^\{"target":(\{"kind":"\w+","name":"(?:[^"\\]|\\.)*"\})') AS target,
       count(*)::integer AS tasks
FROM ossa.open_tasks o
JOIN ossa.tasks t ON t.id = o.task_id
LEFT JOIN ossa.dispatchers d ON d.owner = o.owner
WHERE (o.owner IS NULL OR d.owner IS NULL OR d.expires_at <= now())
  AND (SELECT min(l.owner COLLATE "C") FROM ossa.dispatchers l WHERE l.expires_at > now()) = ANY (%(owners)s)
GROUP BY 1

-- name: usage_today
SELECT coalesce(sum(u.tokens), 0)::bigint AS tokens, coalesce(sum(u.cost_usd), 0) AS cost_usd
FROM ossa.usage_daily u
WHERE u.subject = %(subject)s AND u.day = (now() AT TIME ZONE 'UTC')::date

-- name: ping
SELECT 1 AS one
