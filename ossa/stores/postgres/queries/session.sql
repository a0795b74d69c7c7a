-- name: configure
-- `guarded`: the role of one tenant's acts is there, may use this schema, and this user may take it on.
SELECT array_agg(set_config(s.name, s.value, false)) AS set, pg_is_in_recovery() AS standby,
       EXISTS (
           SELECT FROM pg_roles r, pg_namespace n
           WHERE r.rolname = 'ossa_tenant' AND n.nspname = 'ossa'
             AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND pg_has_role(r.oid, 'MEMBER')
       ) AS guarded
FROM unnest(%(names)s::text[], %(values)s::text[]) AS s (name, value)

-- name: as_tenant
SELECT set_config('ossa.tenant', %(tenant)s, true), set_config('role', 'ossa_tenant', true)

-- name: condition
SELECT coalesce((SELECT s.ssl FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()), false) AS tls,
       pg_is_in_recovery() AS standby,
       (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) AS superuser,
       coalesce((SELECT pg_has_role(n.nspowner, 'MEMBER') FROM pg_namespace n WHERE n.nspname = 'ossa'), false) AS owner,
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
           AS connections,
       ARRAY(
           SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = 'ossa' AND c.relkind IN ('r', 'p')
             AND EXISTS (SELECT FROM pg_attribute a
                         WHERE a.attrelid = c.oid AND a.attname IN ('tenant', 'task_id') AND NOT a.attisdropped)
             AND NOT (c.relrowsecurity AND (c.relispartition OR EXISTS (
                 SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'ossa_tenant')))
           ORDER BY 1
       ) AS unguarded
