-- name: put
INSERT INTO ossa.originals AS o (tenant, handle, content, expires_at)
VALUES (%(tenant)s, %(handle)s, %(content)s, %(expires_at)s)
ON CONFLICT (tenant, handle) DO UPDATE
SET content = excluded.content, expires_at = greatest(o.expires_at, excluded.expires_at)

-- name: get
SELECT o.content
FROM ossa.originals o
WHERE o.tenant = %(tenant)s AND o.handle = %(handle)s AND o.expires_at > %(now)s

-- name: sweep
WITH swept AS (DELETE FROM ossa.originals o WHERE o.expires_at <= %(now)s RETURNING 1)
SELECT count(*) AS swept FROM swept
