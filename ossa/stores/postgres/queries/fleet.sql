-- name: load
SELECT ARRAY(SELECT p.pool::text FROM ossa.pools p ORDER BY p.name) AS pools,
       ARRAY(SELECT p.revision FROM ossa.pools p ORDER BY p.name) AS revisions,
       ARRAY(SELECT a.agent::text FROM ossa.agents a ORDER BY a.agent_id) AS agents,
       coalesce((SELECT f.standby FROM ossa.fleet f), 0) AS standby,
       (SELECT f.phase FROM ossa.fleet f) AS phase

-- name: save_pool
-- A pool that is saved as it was is not told. The one who saves pools is the controller, and there is one.
WITH old AS (
    SELECT ossa.readable(p.pool::text) - 'revision' AS pool FROM ossa.pools p WHERE p.name = %(name)s
), saved AS (
    INSERT INTO ossa.pools AS p (name, revision, pool)
    VALUES (%(name)s, %(revision)s, %(pool)s::json)
    ON CONFLICT (name) DO UPDATE SET revision = greatest(p.revision + 1, excluded.revision), pool = excluded.pool
    RETURNING p.revision
)
SELECT s.revision,
       CASE WHEN (SELECT o.pool FROM old o) IS DISTINCT FROM ossa.readable(%(pool)s::text) - 'revision'
            THEN ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) END AS told
FROM saved s

-- name: save_agent
WITH saved AS (
    INSERT INTO ossa.agents AS a (agent_id, agent)
    VALUES (%(agent_id)s, %(agent)s::json)
    ON CONFLICT (agent_id) DO UPDATE SET agent = excluded.agent WHERE a.agent::text <> excluded.agent::text
    RETURNING a.agent_id
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM saved

-- name: remove_agent
WITH gone AS (
    DELETE FROM ossa.agents WHERE agent_id = %(agent_id)s RETURNING agent
)
SELECT ossa.tell(ossa.readable(g.agent::text) ->> 'tenant', %(told_key)s, 1, %(told)s) FROM gone g

-- name: save_standby
-- None is what there is before anything was saved.
WITH saved AS (
    INSERT INTO ossa.fleet AS f (standby)
    SELECT %(count)s::integer WHERE %(count)s::integer <> 0 OR EXISTS (SELECT FROM ossa.fleet)
    ON CONFLICT (singleton) DO UPDATE SET standby = excluded.standby WHERE f.standby <> excluded.standby
    RETURNING f.standby
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM saved

-- name: save_phase
WITH saved AS (
    INSERT INTO ossa.fleet AS f (phase) VALUES (%(phase)s)
    ON CONFLICT (singleton) DO UPDATE SET phase = excluded.phase WHERE f.phase IS DISTINCT FROM excluded.phase
    RETURNING f.phase
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM saved

-- name: offer_secret
INSERT INTO ossa.secrets (name, value) VALUES (%(name)s, %(fresh)s) ON CONFLICT (name) DO NOTHING

-- name: configuration
SELECT c.settings FROM ossa.configurations c WHERE c.part = %(part)s

-- name: save_configuration
-- Of several that start at once the first one tells. A first start has nothing to differ from.
WITH saved AS (
    INSERT INTO ossa.configurations AS c (part, settings) VALUES (%(part)s, %(settings)s)
    ON CONFLICT (part) DO UPDATE SET settings = excluded.settings WHERE c.settings = %(before)s
    RETURNING c.part
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM saved WHERE %(told)s::text IS NOT NULL

-- name: secret
SELECT s.value FROM ossa.secrets s WHERE s.name = %(name)s

-- name: save_operation
-- Progress is saved often and not told; each status is.
WITH old AS (
    SELECT ossa.readable(o.operation::text) ->> 'status' AS status FROM ossa.operations o WHERE o.id = %(id)s
), saved AS (
    INSERT INTO ossa.operations (id, tenant, open, operation)
    VALUES (%(id)s, %(tenant)s, %(open)s, %(operation)s::json)
    ON CONFLICT (id) DO UPDATE SET open = excluded.open, operation = excluded.operation
    RETURNING id
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s)
FROM saved s WHERE (SELECT o.status FROM old o) IS DISTINCT FROM %(status)s

-- name: operation
SELECT o.operation::text AS operation FROM ossa.operations o
WHERE o.id = %(operation_id)s AND (%(tenant)s::text IS NULL OR o.tenant = %(tenant)s)

-- name: operations
SELECT o.operation::text AS operation FROM ossa.operations o
WHERE (%(tenant)s::text IS NULL OR o.tenant = %(tenant)s) AND (NOT %(open_only)s OR o.open)
ORDER BY o.id DESC
LIMIT %(limit)s
