-- name: revisions
-- Another one after each write: the transaction that wrote the row, and where it lies.
SELECT p.tenant, concat(p.xmin, ' ', p.ctid) AS revision FROM ossa.routing_policies p

-- name: policies
SELECT p.tenant, concat(p.xmin, ' ', p.ctid) AS revision, p.policy::text AS policy
FROM ossa.routing_policies p
WHERE p.tenant = ANY (%(tenants)s)

-- name: save
INSERT INTO ossa.routing_policies (tenant, policy) VALUES (%(tenant)s, %(policy)s)
ON CONFLICT (tenant) DO UPDATE SET policy = excluded.policy

-- name: remove
DELETE FROM ossa.routing_policies p WHERE p.tenant = %(tenant)s
