-- name: rate
WITH rated AS (
    INSERT INTO ossa.feedback (task_id, tenant, at, body)
    SELECT e.task_id, e.tenant, %(at)s, %(body)s
    FROM ossa.outcomes e
    WHERE e.task_id = %(task_id)s AND e.tenant = %(tenant)s
    ON CONFLICT (task_id) DO UPDATE SET at = excluded.at, body = excluded.body
    RETURNING task_id
)
SELECT r.task_id, ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) AS told FROM rated r

-- name: is_task
SELECT EXISTS (SELECT FROM ossa.tasks t WHERE t.id = %(task_id)s AND t.tenant = %(tenant)s) AS known

-- name: feedback
SELECT f.body FROM ossa.feedback f WHERE f.task_id = %(task_id)s AND f.tenant = %(tenant)s

-- name: ended
-- Ids alone: a request may be long, and its JSON is read in small batches.
SELECT e.task_id, e.finished_at
FROM ossa.outcomes e
WHERE e.finished_at >= %(since)s AND e.status <> 'cancelled'
  AND (%(tenant)s::text IS NULL OR e.tenant = %(tenant)s)
  AND (%(last_at)s::timestamptz IS NULL OR (e.finished_at, e.task_id) < (%(last_at)s, %(last_id)s))
ORDER BY e.finished_at DESC, e.task_id DESC
LIMIT %(limit)s

-- name: rated
SELECT f.task_id
FROM ossa.feedback f
WHERE f.at >= %(since)s
ORDER BY f.at DESC, f.task_id DESC
LIMIT %(limit)s

-- name: examples
-- A text in JSON has its quotes escaped, so the mark of a tool's error is found in no other place.
SELECT t.id AS task_id, t.tenant, t.request, e.outcome, t.created_at, e.finished_at, f.body AS feedback,
       (SELECT s.body FROM ossa.steps s
        WHERE s.task_id = t.id AND s.kind = 'route' ORDER BY s.seq DESC LIMIT 1) AS route,
       (SELECT count(*) FROM ossa.steps s
        WHERE s.task_id = t.id AND s.kind = 'tool_result' AND strpos(s.body, '"is_error":true') > 0) AS tool_errors
FROM ossa.tasks t
JOIN ossa.outcomes e ON e.task_id = t.id
LEFT JOIN ossa.feedback f ON f.task_id = t.id
WHERE t.id = ANY (%(ids)s)
ORDER BY array_position(%(ids)s::text[], t.id)

-- name: lock_models
LOCK TABLE ossa.router_models IN SHARE ROW EXCLUSIVE MODE

-- name: add_model
INSERT INTO ossa.router_models (kind, version, digest, card, content, state, created_at)
SELECT %(kind)s, coalesce(max(m.version), 0) + 1, %(digest)s, %(card)s, %(content)s, 'candidate', clock_timestamp()
FROM ossa.router_models m
WHERE m.kind = %(kind)s
ON CONFLICT (kind, digest) DO NOTHING
RETURNING version

-- name: model_of_digest
SELECT m.kind, m.version, m.digest, m.card, m.state, m.created_at, m.promoted_at
FROM ossa.router_models m
WHERE m.kind = %(kind)s AND m.digest = %(digest)s

-- name: models
SELECT m.kind, m.version, m.digest, m.card, m.state, m.created_at, m.promoted_at
FROM ossa.router_models m
WHERE %(kind)s::text IS NULL OR m.kind = %(kind)s
ORDER BY m.created_at DESC, m.version DESC

-- name: live
SELECT m.kind, m.version, m.digest, m.card, m.state, m.created_at, m.promoted_at
FROM ossa.router_models m
WHERE m.state = 'live'

-- name: model_file
SELECT m.content FROM ossa.router_models m WHERE m.kind = %(kind)s AND m.version = %(version)s

-- name: model
SELECT m.kind, m.version, m.digest, m.card, m.state, m.created_at, m.promoted_at
FROM ossa.router_models m
WHERE m.kind = %(kind)s AND m.version = %(version)s

-- name: retire
UPDATE ossa.router_models m SET state = 'retired'
WHERE m.kind = %(kind)s AND m.state = 'live' AND m.version <> %(version)s
RETURNING m.version

-- name: make_live
UPDATE ossa.router_models m SET state = 'live', promoted_at = clock_timestamp()
WHERE m.kind = %(kind)s AND m.version = %(version)s AND m.state <> 'live'
RETURNING m.version

-- name: demote
UPDATE ossa.router_models m SET state = 'candidate', promoted_at = NULL
WHERE m.kind = %(kind)s AND m.version = %(version)s AND m.state = 'live'
RETURNING m.version

-- name: restore
UPDATE ossa.router_models m SET state = 'live'
WHERE m.kind = %(kind)s AND m.version = (
    SELECT b.version FROM ossa.router_models b
    WHERE b.kind = %(kind)s AND b.state = 'retired'
    ORDER BY b.promoted_at DESC, b.version DESC
    LIMIT 1
)
RETURNING m.version

-- name: live_of_kind
SELECT m.kind, m.version, m.digest, m.card, m.state, m.created_at, m.promoted_at
FROM ossa.router_models m
WHERE m.kind = %(kind)s AND m.state = 'live'
