-- name: tell
INSERT INTO ossa.facts (at, tenant, tasks, count, body)
SELECT now(), t.tenant, false, t.count, t.body
FROM unnest(%(tenants)s::text[], %(counts)s::integer[], %(bodies)s::text[]) AS t (tenant, count, body)

-- name: look
SELECT pg_postmaster_start_time()::text AS server, f.position, f.at, f.tenant, f.tasks, f.body
FROM (SELECT) AS always
LEFT JOIN LATERAL (
    SELECT f.position, f.at, f.tenant, f.tasks, f.body FROM ossa.facts f
    WHERE f.position > %(after)s ORDER BY f.position LIMIT %(limit)s
) AS f ON true

-- name: ends
SELECT pg_postmaster_start_time()::text AS server,
       (SELECT f.position FROM ossa.facts f ORDER BY f.position LIMIT 1) AS oldest,
       (SELECT f.position FROM ossa.facts f WHERE f.position <= %(last)s ORDER BY f.position DESC LIMIT 1) AS newest

-- name: writers
SELECT pg_postmaster_start_time()::text AS server, w.last, w.writers FROM ossa.facts_writers() AS w

-- name: read
SELECT pg_postmaster_start_time()::text AS server, f.position, f.at, f.tenant, f.body
FROM (SELECT) AS always
LEFT JOIN LATERAL (
    SELECT f.position, f.at, f.tenant, f.body FROM ossa.facts f
    WHERE f.position >= %(first)s AND f.position <= %(last)s
    ORDER BY f.position LIMIT %(limit)s
) AS f ON true

-- name: read_fleet
SELECT pg_postmaster_start_time()::text AS server, f.position, f.at, f.tenant, f.body
FROM (SELECT) AS always
LEFT JOIN LATERAL (
    SELECT f.position, f.at, f.tenant, f.body FROM ossa.facts f
    WHERE f.position >= %(first)s AND f.position <= %(last)s AND NOT f.tasks
    ORDER BY f.position LIMIT %(limit)s
) AS f ON true

-- name: read_tenant
SELECT pg_postmaster_start_time()::text AS server, f.position, f.at, f.tenant, f.body
FROM (SELECT) AS always
LEFT JOIN LATERAL (
    SELECT f.position, f.at, f.tenant, f.body FROM ossa.facts f
    WHERE f.tenant = %(tenant)s AND f.position >= %(first)s AND f.position <= %(last)s AND (%(tasks)s OR NOT f.tasks)
    ORDER BY f.position LIMIT %(limit)s
) AS f ON true

-- name: read_back
SELECT f.position, f.at, f.tenant, f.body FROM ossa.facts f
WHERE f.position <= %(last)s
ORDER BY f.position DESC LIMIT %(limit)s

-- name: read_back_fleet
SELECT f.position, f.at, f.tenant, f.body FROM ossa.facts f
WHERE f.position <= %(last)s AND NOT f.tasks
ORDER BY f.position DESC LIMIT %(limit)s

-- name: read_back_tenant
SELECT f.position, f.at, f.tenant, f.body FROM ossa.facts f
WHERE f.tenant = %(tenant)s AND f.position <= %(last)s AND (%(tasks)s OR NOT f.tasks)
ORDER BY f.position DESC LIMIT %(limit)s

-- name: count
SELECT coalesce(sum(f.count), 0)::bigint AS facts, count(*) AS rows
FROM (
    SELECT f.count FROM ossa.facts f
    WHERE f.position >= %(first)s AND f.position <= %(last)s AND (%(tasks)s OR NOT f.tasks)
    ORDER BY f.position LIMIT %(limit)s
) AS f

-- name: join
SELECT s.shard, s.position, s.fence, pg_postmaster_start_time()::text AS server
FROM ossa.fact_join(%(group)s, %(shards)s, %(owner)s, %(ttl_s)s, %(begins)s) AS s

-- name: leave
WITH gone AS (
    DELETE FROM ossa.fact_members m WHERE m.name = %(group)s AND m.owner = %(owner)s
)
UPDATE ossa.fact_shards SET owner = NULL, expires_at = NULL WHERE name = %(group)s AND owner = %(owner)s

-- name: commit
-- The second try of a commit whose answer was lost finds its own position. What a crash takes back is handled again.
-- Offsets that were read elsewhere say nothing here: a standby that lost the last commits hands out their positions anew.
UPDATE ossa.fact_shards SET position = %(to)s
FROM (SELECT set_config('synchronous_commit', 'off', true) AS waits) AS s
WHERE s.waits = 'off' AND name = %(group)s AND shard = %(shard)s AND owner = %(owner)s AND fence = %(fence)s
  AND position IN (%(was)s, %(to)s) AND pg_postmaster_start_time()::text = %(server)s
RETURNING position

-- name: seek
-- The fence tells a reader that it was put there, and did not lose commits by a fail-over.
WITH moved AS (
    UPDATE ossa.fact_shards SET position = %(to)s, fence = fence + 1 WHERE name = %(group)s RETURNING 1
), made AS (
    INSERT INTO ossa.fact_shards (name, shard, shards, position)
    SELECT %(group)s, 0, 1, %(to)s WHERE NOT EXISTS (SELECT FROM moved)
    ON CONFLICT (name, shard) DO UPDATE SET position = excluded.position
    RETURNING 1
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s)
WHERE %(told)s::text IS NOT NULL AND (EXISTS (SELECT FROM moved) OR EXISTS (SELECT FROM made))

-- name: positions
SELECT s.name, s.shard, s.shards, s.position, coalesce(s.owner, '') AS owner
FROM ossa.fact_shards s
ORDER BY s.name, s.shard

-- name: bury
INSERT INTO ossa.dead_facts (message) SELECT m.message FROM unnest(%(messages)s::text[]) AS m (message)

-- name: dead
SELECT d.number, d.message FROM ossa.dead_facts d WHERE d.number >= %(after)s ORDER BY d.number LIMIT %(limit)s

-- name: dead_end
SELECT coalesce(max(d.number), 0) + 1 AS number FROM ossa.dead_facts d

-- name: ahead
SELECT ossa.facts_ahead(2) AS made

-- name: prune
SELECT ossa.facts_prune(%(before)s, %(limit)s) AS gone

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
