-- name: load
SELECT ARRAY(SELECT p.pool::text FROM ossa.pools p ORDER BY p.name) AS pools,
       ARRAY(SELECT p.revision FROM ossa.pools p ORDER BY p.name) AS revisions,
       ARRAY(SELECT a.agent::text FROM ossa.agents a ORDER BY a.agent_id) AS agents,
       coalesce((SELECT f.standby FROM ossa.fleet f), 0) AS standby,
       (SELECT f.phase FROM ossa.fleet f) AS phase

-- name: save_pool
INSERT INTO ossa.pools AS p (name, revision, pool)
VALUES (%(name)s, %(revision)s, %(pool)s::json)
ON CONFLICT (name) DO UPDATE SET revision = greatest(p.revision + 1, excluded.revision), pool = excluded.pool
RETURNING p.revision

-- name: save_agent
INSERT INTO ossa.agents (agent_id, agent)
VALUES (%(agent_id)s, %(agent)s::json)
ON CONFLICT (agent_id) DO UPDATE SET agent = excluded.agent

-- name: remove_agent
DELETE FROM ossa.agents WHERE agent_id = %(agent_id)s

-- name: save_standby
INSERT INTO ossa.fleet (standby) VALUES (%(count)s) ON CONFLICT (singleton) DO UPDATE SET standby = excluded.standby

-- name: save_phase
INSERT INTO ossa.fleet (phase) VALUES (%(phase)s) ON CONFLICT (singleton) DO UPDATE SET phase = excluded.phase

-- name: offer_secret
INSERT INTO ossa.secrets (name, value) VALUES (%(name)s, %(fresh)s) ON CONFLICT (name) DO NOTHING

-- name: secret
SELECT s.value FROM ossa.secrets s WHERE s.name = %(name)s

-- name: save_operation
INSERT INTO ossa.operations (id, tenant, open, operation)
VALUES (%(id)s, %(tenant)s, %(open)s, %(operation)s::json)
ON CONFLICT (id) DO UPDATE SET open = excluded.open, operation = excluded.operation

-- name: operation
SELECT o.operation::text AS operation FROM ossa.operations o
WHERE o.id = %(operation_id)s AND (%(tenant)s::text IS NULL OR o.tenant = %(tenant)s)

-- name: operations
SELECT o.operation::text AS operation FROM ossa.operations o
WHERE (%(tenant)s::text IS NULL OR o.tenant = %(tenant)s) AND (NOT %(open_only)s OR o.open)
ORDER BY o.id DESC
LIMIT %(limit)s
