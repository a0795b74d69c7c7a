-- name: add
INSERT INTO ossa.agent_history (event_id, tenant, agent, at, moment)
VALUES (%(id)s, %(tenant)s, %(agent)s, %(at)s, %(moment)s)
ON CONFLICT DO NOTHING
RETURNING number

-- name: of
SELECT h.number, h.moment FROM ossa.agent_history h
WHERE h.agent = %(agent)s AND (%(tenant)s::text IS NULL OR h.tenant = %(tenant)s)
  AND (%(before)s::bigint IS NULL OR h.number < %(before)s)
ORDER BY h.number DESC LIMIT %(limit)s

-- name: prune
WITH gone AS (
    DELETE FROM ossa.agent_history WHERE event_id = ANY (ARRAY(
        SELECT h.event_id FROM ossa.agent_history h WHERE h.at < %(before)s ORDER BY h.at LIMIT %(limit)s
    )) RETURNING 1
)
SELECT count(*) AS gone FROM gone
