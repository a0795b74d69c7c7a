-- name: write
-- The row as it was before: a write that is tried again finds its own there, and has told.
SELECT m.*, CASE WHEN NOT EXISTS (
    SELECT FROM ossa.memory_items old
    WHERE old.tenant = %(tenant)s AND old.id = %(id)s AND old.write_id = %(write_id)s
) THEN ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) END AS told
FROM ossa.memory_write(
    %(tenant)s, %(id)s, %(kind)s, %(subject)s, %(tier)s, %(digest)s, %(write_id)s, %(facts)s::jsonb, %(content)s,
    %(expires_at)s::timestamptz, %(if_version)s::bigint, %(at)s::timestamptz
) m

-- name: row
SELECT m.version, m.fence, m.stored, m.created_at, m.updated_at, m.used_at, m.expires_at, m.uses, m.objects, m.untidy,
       m.tenant, m.id, m.kind, m.subject, m.tier, m.digest, m.facts,
       CASE WHEN m.version IS DISTINCT FROM %(known)s::bigint THEN m.content END AS content
FROM ossa.memory_items m
WHERE m.tenant = %(tenant)s AND m.id = %(id)s

-- name: rows
SELECT m.* FROM ossa.memory_items m WHERE m.tenant = %(tenant)s AND m.id = ANY (%(ids)s::text[])

-- name: newest
SELECT m.* FROM ossa.memory_items m
WHERE m.tenant = %(tenant)s
  AND (%(kind)s::text IS NULL OR m.kind = %(kind)s)
  AND (%(kinds)s::text[] IS NULL OR m.kind = ANY (%(kinds)s::text[]))
  AND (%(subject)s::text IS NULL OR m.subject = %(subject)s)
  AND m.facts @> %(facts)s::jsonb
  AND (%(since)s::timestamptz IS NULL OR m.updated_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR m.updated_at < %(until)s)
ORDER BY m.updated_at DESC, m.version DESC
LIMIT %(limit)s

-- name: claim
WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(ossa.memory_lock(%(tenant)s)))
UPDATE ossa.memory_items m
SET fence = nextval('ossa.memory_fences'), untidy = true, objects = m.objects OR %(storing)s
FROM gate
WHERE m.tenant = %(tenant)s AND m.id = %(id)s AND m.fence = %(fence)s
RETURNING m.*

-- name: store_away
UPDATE ossa.memory_items m SET stored = m.fence, content = NULL, tier = 'cold'
WHERE m.tenant = %(tenant)s AND m.id = %(id)s AND m.fence = %(fence)s
RETURNING m.fence

-- name: bring_back
UPDATE ossa.memory_items m SET stored = NULL, content = %(content)s, tier = 'warm'
WHERE m.tenant = %(tenant)s AND m.id = %(id)s AND m.fence = %(fence)s
RETURNING m.fence

-- name: mark
UPDATE ossa.memory_items m SET tier = %(tier)s
WHERE m.tenant = %(tenant)s AND m.id = %(id)s AND m.fence = %(fence)s AND m.stored IS NULL
RETURNING m.fence

-- name: tidied
UPDATE ossa.memory_items m SET untidy = false, objects = m.stored IS NOT NULL
WHERE m.tenant = %(tenant)s AND m.id = %(id)s AND m.fence = %(fence)s
RETURNING m.fence

-- name: used
UPDATE ossa.memory_items m
SET uses = u.count + CASE WHEN u.at - m.used_at <= u.within_s * interval '1 second' THEN m.uses ELSE 0 END,
    used_at = greatest(m.used_at, u.at)
FROM unnest(%(tenant)s::text[], %(id)s::text[], %(count)s::integer[], %(at)s::timestamptz[], %(within_s)s::float8[])
    AS u (tenant, id, count, at, within_s)
WHERE m.tenant = u.tenant AND m.id = u.id

-- name: untidy
SELECT m.* FROM ossa.memory_items m WHERE m.untidy ORDER BY m.fence LIMIT %(limit)s

-- name: idle
SELECT m.* FROM ossa.memory_items m
WHERE m.tier = %(tier)s AND m.tier <> 'cold' AND m.used_at < %(before)s
  AND (m.kind = ANY (%(names)s::text[])) <> %(others)s
ORDER BY m.used_at
LIMIT %(limit)s

-- name: expired
SELECT m.* FROM ossa.memory_items m
WHERE (m.expires_at <= %(now)s OR m.updated_at <= %(changed_before)s::timestamptz)
  AND (m.kind = ANY (%(names)s::text[])) <> %(others)s
LIMIT %(limit)s

-- name: is_erasure
SELECT FROM ossa.memory_erasures e WHERE e.id = %(id)s

-- name: erase
SELECT e.* FROM ossa.memory_erase(
    %(id)s, %(tenant)s, %(subject)s, %(ids)s::text[], %(versions)s::bigint[], %(at)s::timestamptz
) e

-- name: count
SELECT count(*) AS found FROM ossa.memory_items m
WHERE m.tenant = %(tenant)s AND m.fence < %(fence)s
  AND (NOT %(by_ids)s OR m.id = ANY (%(ids)s::text[]))
  AND (%(by_ids)s OR %(subject)s::text IS NULL OR m.subject = %(subject)s)

-- name: erasures
SELECT e.* FROM ossa.memory_erasures e ORDER BY e.fence LIMIT %(limit)s

-- name: confirm
WITH confirmed AS (
    UPDATE ossa.memory_erasures e SET confirmed_at = %(at)s WHERE e.id = %(id)s AND e.confirmed_at IS NULL
    RETURNING e.tenant
)
SELECT ossa.tell(c.tenant, %(told_key)s, 1, %(told)s) FROM confirmed c

-- name: close_erasure
DELETE FROM ossa.memory_erasures e WHERE e.id = %(id)s

-- name: grant
WITH granted AS (
    INSERT INTO ossa.memory_grants AS g (tenant, grantee, kinds, granted_at)
    VALUES (%(tenant)s, %(to)s, %(kinds)s, %(granted_at)s)
    ON CONFLICT (tenant, grantee) DO UPDATE SET kinds = excluded.kinds, granted_at = excluded.granted_at
    RETURNING g.tenant
)
SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) FROM granted

-- name: revoke
WITH gone AS (
    DELETE FROM ossa.memory_grants g WHERE g.tenant = %(tenant)s AND g.grantee = %(to)s RETURNING g.grantee
)
SELECT g.grantee, ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s) AS told FROM gone g

-- name: grant_of
SELECT g.* FROM ossa.memory_grants g WHERE g.tenant = %(tenant)s AND g.grantee = %(to)s

-- name: grants
SELECT g.* FROM ossa.memory_grants g WHERE g.tenant = %(tenant)s ORDER BY g.grantee
