-- The roles of a database of OSSA: run it as a superuser, or as the database's owner with CREATEROLE, in that database.
-- It may be run again; passwords and log-ins are yours:
--
--   CREATE ROLE gateway LOGIN PASSWORD '...' IN ROLE ossa_app;      what OSSA_DATABASE__DSN uses
--   CREATE ROLE deployer LOGIN PASSWORD '...' IN ROLE ossa_owner;   what `ossa database migrate` uses
--   CREATE ROLE analyst LOGIN PASSWORD '...' IN ROLE ossa_reader;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{ossa_owner,ossa_app,ossa_reader,ossa_tenant}'::text[] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
    END LOOP;
    GRANT ossa_tenant TO ossa_owner, ossa_app;
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT ossa_owner TO %I', current_user);
    END IF;
    EXECUTE format('GRANT CREATE ON DATABASE %I TO ossa_owner', current_database());
    -- Who may not make a schema may not make anything in `public` either.
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
END $$;

CREATE SCHEMA IF NOT EXISTS ossa AUTHORIZATION ossa_owner;

-- What was made by somebody else so far, such as by the runtime's own user, belongs to the owner from now on.
DO $$
DECLARE
    found record;
BEGIN
    ALTER SCHEMA ossa OWNER TO ossa_owner;
    FOR found IN
        SELECT c.relname AS name, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
        FROM pg_class c
        WHERE c.relnamespace = 'ossa'::regnamespace AND c.relkind IN ('r', 'p', 'S')
          AND c.relowner <> 'ossa_owner'::regrole
    LOOP
        EXECUTE format('ALTER %s ossa.%I OWNER TO ossa_owner', found.kind, found.name);
    END LOOP;
    FOR found IN
        SELECT p.oid::regprocedure::text AS name
        FROM pg_proc p
        WHERE p.pronamespace = 'ossa'::regnamespace AND p.proowner <> 'ossa_owner'::regrole
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO ossa_owner', found.name);
    END LOOP;
    IF to_regprocedure('ossa.guard()') IS NOT NULL THEN
        SET LOCAL ROLE ossa_owner;
        PERFORM ossa.guard();
        RESET ROLE;
    END IF;
END $$;
