-- name: add_samples
INSERT INTO ossa.pool_samples AS s
    (at, running, queue_wait_s, latency_p99_s, error_rate, cpu, memory, slots_per_agent,
     arrivals, queued, agents, starting, draining, pool)
SELECT *
FROM unnest(
    %(at)s::timestamptz[], %(running)s::double precision[], %(queue_wait_s)s::double precision[],
    %(latency_p99_s)s::double precision[], %(error_rate)s::double precision[], %(cpu)s::double precision[],
    %(memory)s::double precision[], %(slots_per_agent)s::double precision[], %(arrivals)s::integer[],
    %(queued)s::integer[], %(agents)s::integer[], %(starting)s::integer[],
    %(draining)s::integer[], %(pool)s::text[]
)
ON CONFLICT (at, pool) DO UPDATE SET
    running = excluded.running, queue_wait_s = excluded.queue_wait_s, latency_p99_s = excluded.latency_p99_s,
    error_rate = excluded.error_rate, cpu = excluded.cpu, memory = excluded.memory,
    slots_per_agent = excluded.slots_per_agent, arrivals = excluded.arrivals, queued = excluded.queued,
    agents = excluded.agents, starting = excluded.starting, draining = excluded.draining

-- name: samples
SELECT s.at, s.running, s.queue_wait_s, s.latency_p99_s, s.error_rate, s.cpu, s.memory, s.slots_per_agent,
       s.arrivals, s.queued, s.agents, s.starting, s.draining, s.pool
FROM ossa.pool_samples s
WHERE (s.at, s.pool) > (%(after_at)s, %(after_pool)s)
  AND s.at < %(until)s
  AND (%(pools)s::text[] IS NULL OR s.pool = ANY (%(pools)s::text[]))
ORDER BY s.at, s.pool
LIMIT %(limit)s

-- name: peaks
SELECT s.pool, max(s.running + s.queued) AS peak
FROM ossa.pool_samples s
WHERE s.at >= %(since)s AND s.running < 'infinity'
GROUP BY s.pool

-- name: prune_samples
-- By place: a join may read the whole table.
WITH gone AS (
    DELETE FROM ossa.pool_samples WHERE ctid = ANY (ARRAY(
        SELECT s.ctid FROM ossa.pool_samples s WHERE s.at < %(before)s ORDER BY s.at LIMIT %(limit)s
    )) RETURNING 1
)
SELECT count(*) AS gone FROM gone

-- name: prune_decisions
WITH gone AS (
    DELETE FROM ossa.scale_decisions WHERE ctid = ANY (ARRAY(
        SELECT d.ctid FROM ossa.scale_decisions d WHERE d.at < %(before)s ORDER BY d.at LIMIT %(limit)s
    )) RETURNING 1
)
SELECT count(*) AS gone FROM gone

-- name: add_decision
WITH saved AS (
    INSERT INTO ossa.scale_decisions (at, body) VALUES (%(at)s, %(body)s)
    ON CONFLICT (at) DO UPDATE SET body = excluded.body
    RETURNING at
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM saved WHERE %(told)s::text IS NOT NULL

-- name: decisions
SELECT d.at, d.body FROM ossa.scale_decisions d
WHERE d.at < %(before)s
ORDER BY d.at DESC
LIMIT %(limit)s

-- name: save_state
INSERT INTO ossa.scaler_state (state) VALUES (%(state)s)
ON CONFLICT (singleton) DO UPDATE SET state = excluded.state

-- name: state
SELECT s.state FROM ossa.scaler_state s
