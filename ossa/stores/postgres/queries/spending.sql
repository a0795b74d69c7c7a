-- name: spending
SELECT d.day, d.tenant, d.pool, d.manifest, d.model, d.tier,
       sum(d.tasks)::bigint AS tasks, sum(d.succeeded)::bigint AS succeeded, sum(d.model_calls)::bigint AS model_calls,
       sum(d.prompt_tokens)::bigint AS prompt_tokens, sum(d.completion_tokens)::bigint AS completion_tokens,
       sum(d.cached_tokens)::bigint AS cached_tokens, sum(d.saved_tokens)::bigint AS saved_tokens,
       sum(d.cost_usd) AS cost_usd, sum(d.cost_squared) AS cost_squared, sum(d.in_doubt_usd) AS in_doubt_usd
FROM ossa.spending_daily d
WHERE d.day >= %(since)s AND (%(tenant)s::text IS NULL OR d.tenant = %(tenant)s)
GROUP BY d.day, d.tenant, d.pool, d.manifest, d.model, d.tier
ORDER BY d.day, d.tenant, d.pool, d.manifest, d.model, d.tier

-- name: newest
SELECT t.id AS task_id, t.tenant, t.created_at AS at, coalesce(o.found ->> 'pool', '') AS pool,
       coalesce(o.found ->> 'manifest', '') AS manifest, coalesce(o.found ->> 'tier', '') AS tier,
       e.status = 'succeeded' AS succeeded,
       md5(t.tenant || (r.found -> 'target')::text || (r.found -> 'messages')::text) AS question,
       ossa.counted(o.found -> 'usage', 'prompt_tokens') AS prompt_tokens,
       ossa.counted(o.found -> 'usage', 'completion_tokens') AS completion_tokens,
       ossa.counted(o.found -> 'usage', 'saved_tokens') AS saved_tokens,
       ossa.counted(o.found -> 'usage', 'model_calls') AS model_calls,
       coalesce((o.found #>> '{usage,cost_usd}')::double precision, 0) AS cost_usd,
       (r.found ->> 'vortex')::boolean AS vortex,
       coalesce((SELECT sum(length(s.body)) / 4 FROM ossa.steps s
                 WHERE s.task_id = t.id AND s.kind = 'tool_result'), 0)::bigint AS tool_tokens,
       coalesce((r.found ->> 'asynchronous')::boolean, false) AS asynchronous,
       o.found ->> 'earlier' IS NOT NULL AS given_earlier
FROM (
    SELECT * FROM ossa.tasks newest
    WHERE %(tenant)s::text IS NULL OR newest.tenant = %(tenant)s
    ORDER BY newest.id DESC LIMIT %(limit)s
) AS t
JOIN ossa.outcomes e ON e.task_id = t.id,
LATERAL (SELECT ossa.readable(e.outcome) AS found OFFSET 0) AS o,
LATERAL (SELECT ossa.readable(t.request) AS found OFFSET 0) AS r
ORDER BY t.id DESC

-- name: approve
WITH approved AS (
    INSERT INTO ossa.cost_approvals (id, at, approval) VALUES (%(id)s, %(at)s, %(approval)s::json)
    ON CONFLICT DO NOTHING RETURNING id
)
SELECT a.id, ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) AS told FROM approved a

-- name: approvals
SELECT a.approval::text AS approval FROM ossa.cost_approvals a ORDER BY a.at DESC, a.id
