-- name: add
WITH made AS (
    INSERT INTO ossa.api_keys (id, tenant, name, scopes, prefix, secret_sha256, created_at, revoked_at, expires_at)
    VALUES (%(id)s, %(tenant)s, %(name)s, %(scopes)s, %(prefix)s, %(secret_sha256)s,
            %(created_at)s, %(revoked_at)s, %(expires_at)s)
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM made

-- name: find
SELECT k.id, k.tenant, k.name, k.scopes, k.prefix, k.created_at, k.revoked_at, k.expires_at
FROM ossa.api_keys k
WHERE k.secret_sha256 = %(secret_sha256)s

-- name: keys
SELECT k.id, k.tenant, k.name, k.scopes, k.prefix, k.created_at, k.revoked_at, k.expires_at
FROM ossa.api_keys k
WHERE %(tenant)s::text IS NULL OR k.tenant = %(tenant)s
ORDER BY k.created_at, k.id

-- name: revoke
-- The row is locked before it is read: of two who revoke at once the first one tells.
WITH revoked AS (
    UPDATE ossa.api_keys AS k
    SET revoked_at = coalesce(k.revoked_at, %(at)s)
    FROM (SELECT o.id, o.revoked_at FROM ossa.api_keys o WHERE o.id = %(key_id)s FOR UPDATE) AS was
    WHERE k.id = was.id AND (%(tenant)s::text IS NULL OR k.tenant = %(tenant)s)
    RETURNING k.id, k.tenant, k.name, k.scopes, k.prefix, k.created_at, k.revoked_at, k.expires_at,
              was.revoked_at IS NULL AS changed
)
SELECT r.id, r.tenant, r.name, r.scopes, r.prefix, r.created_at, r.revoked_at, r.expires_at,
       CASE WHEN r.changed THEN ossa.tell(r.tenant, %(told_key)s, 1, %(told)s) END AS told
FROM revoked r
