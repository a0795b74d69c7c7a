-- name: revisions
-- Another one after each write: the transaction that wrote the row, and where it lies.
SELECT p.tenant, concat(p.xmin, ' ', p.ctid) AS revision FROM ossa.routing_policies p

-- name: policies
SELECT p.tenant, concat(p.xmin, ' ', p.ctid) AS revision, p.policy::text AS policy
FROM ossa.routing_policies p
WHERE p.tenant = ANY (%(tenants)s)

-- name: save
WITH saved AS (
    INSERT INTO ossa.routing_policies AS p (tenant, policy) VALUES (%(tenant)s, %(policy)s)
    ON CONFLICT (tenant) DO UPDATE SET policy = excluded.policy WHERE p.policy::text <> excluded.policy::text
    RETURNING p.tenant
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM saved

-- name: remove
WITH gone AS (
    DELETE FROM ossa.routing_policies p WHERE p.tenant = %(tenant)s RETURNING p.tenant
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM gone
