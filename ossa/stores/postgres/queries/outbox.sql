-- name: prepare
-- Its one kind of write is a removal: one that a crash takes back is an event published again, under the same id.
SELECT set_config('synchronous_commit', 'off', false),
       set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
       set_config('tcp_keepalives_count', '3', false)

-- name: lead
SELECT pg_try_advisory_lock(%(lock)s) AS mine

-- name: read
SELECT o.position, o.task_id, o.tenant, o.at, o.body FROM ossa.outbox o ORDER BY o.position LIMIT %(limit)s

-- name: remove
DELETE FROM ossa.outbox WHERE position = ANY (%(positions)s::bigint[])

-- name: prune
-- Up to the first one that is young enough: ages grow with positions, but for a few that overtook each other.
WITH young AS (
    SELECT o.position FROM ossa.outbox o WHERE o.at >= %(before)s ORDER BY o.position LIMIT 1
), gone AS (
    DELETE FROM ossa.outbox WHERE position = ANY (ARRAY(
        SELECT o.position FROM ossa.outbox o
        WHERE o.position < coalesce((SELECT y.position FROM young y), 9223372036854775807)
        ORDER BY o.position LIMIT %(limit)s
    )) RETURNING 1
)
SELECT count(*) AS gone FROM gone

-- name: standing
-- Exact where they are few; else what lies between the first position and the last, not counting what was rolled back.
SELECT CASE WHEN ends.span <= %(exact)s THEN (SELECT count(*) FROM ossa.outbox) ELSE ends.span END AS rows,
       coalesce(extract(epoch FROM clock_timestamp() - (
           SELECT o.at FROM ossa.outbox o ORDER BY o.position LIMIT 1
       )), 0)::double precision AS oldest_s
FROM (SELECT coalesce(max(o.position) - min(o.position) + 1, 0) AS span FROM ossa.outbox o) AS ends

-- name: known
SELECT p.event_id FROM ossa.processed_events p
WHERE p.consumer = %(consumer)s AND p.event_id = ANY (%(ids)s::text[])

-- name: add
INSERT INTO ossa.processed_events (consumer, event_id, at)
SELECT %(consumer)s, i.id, now() FROM unnest(%(ids)s::text[]) AS i (id)
ON CONFLICT DO NOTHING

-- name: forget
WITH gone AS (
    DELETE FROM ossa.processed_events WHERE ctid = ANY (ARRAY(
        SELECT p.ctid FROM ossa.processed_events p WHERE p.at < %(before)s ORDER BY p.at LIMIT %(limit)s
    )) RETURNING 1
)
SELECT count(*) AS gone FROM gone
