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
