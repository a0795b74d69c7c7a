-- name: add
INSERT INTO ossa.api_keys (id, tenant, name, scopes, prefix, secret_sha256, created_at, revoked_at, expires_at)
VALUES (%(id)s, %(tenant)s, %(name)s, %(scopes)s, %(prefix)s, %(secret_sha256)s,
        %(created_at)s, %(revoked_at)s, %(expires_at)s)
ON CONFLICT DO NOTHING

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
UPDATE ossa.api_keys AS k
SET revoked_at = coalesce(k.revoked_at, %(at)s)
WHERE k.id = %(key_id)s AND (%(tenant)s::text IS NULL OR k.tenant = %(tenant)s)
RETURNING k.id, k.tenant, k.name, k.scopes, k.prefix, k.created_at, k.revoked_at, k.expires_at
