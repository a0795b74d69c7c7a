-- Who may do what. `ossa.guard()` grants and restricts by what the schema holds; it runs after every migration, and
-- again by `ossa database roles`, so that a new table is never left out. It changes nothing where all is as it should
-- be. Roles that are not there get nothing:
--
--   ossa_tenant   acts of one tenant: its own rows, by the setting `ossa.tenant`, whatever a query says. Nobody logs in
--                 as it; the runtime takes it on for one act. Made here where this user may make roles.
--   ossa_app      the runtime: reads and writes rows, changes no schema.
--   ossa_reader   reports: reads, but for keys and secrets.

CREATE FUNCTION ossa.guard() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $guard$
DECLARE
    -- Written by acts of one tenant; all else such acts read alone.
    written constant text[] := '{api_keys,feedback,originals,memory_items,memory_grants,routing_policies}';
    hidden  constant text[] := '{api_keys,secrets}';
    has_tenant boolean;
    has_app    boolean;
    has_reader boolean;
    mine       text;
    found      record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ossa_tenant') THEN
        BEGIN
            CREATE ROLE ossa_tenant NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;  -- another database's migration, just now
            WHEN insufficient_privilege THEN RAISE NOTICE 'ossa: this user may not make the role ossa_tenant';
        END;
    END IF;
    has_tenant := EXISTS (SELECT FROM pg_roles WHERE rolname = 'ossa_tenant');
    has_app := EXISTS (SELECT FROM pg_roles WHERE rolname = 'ossa_app');
    has_reader := EXISTS (SELECT FROM pg_roles WHERE rolname = 'ossa_reader');

    IF has_tenant THEN
        BEGIN
            IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
                EXECUTE format('GRANT ossa_tenant TO %I', current_user);
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'ossa: this user may not take on the role ossa_tenant';
        END;
        GRANT USAGE ON SCHEMA ossa TO ossa_tenant;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA ossa TO ossa_tenant;
    END IF;
    IF has_app THEN
        GRANT USAGE ON SCHEMA ossa TO ossa_app;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA ossa TO ossa_app;
    END IF;
    IF has_reader THEN
        GRANT USAGE ON SCHEMA ossa TO ossa_reader;
    END IF;

    FOR found IN
        SELECT c.oid, c.relname AS name, c.relrowsecurity AS guarded, c.relispartition AS part,
               EXISTS (SELECT FROM pg_attribute a
                       WHERE a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped) AS of_tenants,
               EXISTS (SELECT FROM pg_attribute a
                       WHERE a.attrelid = c.oid AND a.attname = 'task_id' AND NOT a.attisdropped) AS of_tasks
        FROM pg_class c
        WHERE c.relnamespace = 'ossa'::regnamespace AND c.relkind IN ('r', 'p')
        ORDER BY c.relname
    LOOP
        IF (found.of_tenants OR found.of_tasks) AND NOT found.guarded THEN
            EXECUTE format('ALTER TABLE ossa.%I ENABLE ROW LEVEL SECURITY', found.name);
        END IF;
        CONTINUE WHEN found.part;  -- reached by the whole table alone
        IF has_tenant AND (found.of_tenants OR found.of_tasks) THEN
            EXECUTE format('GRANT SELECT ON ossa.%I TO ossa_tenant', found.name);
            IF found.name = ANY (written) THEN
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ossa.%I TO ossa_tenant', found.name);
            END IF;
            mine := CASE WHEN found.of_tenants THEN $$tenant = current_setting('ossa.tenant', true)$$
                         ELSE format('EXISTS (SELECT FROM ossa.tasks t WHERE t.id = %I.task_id)', found.name) END;
            PERFORM ossa.guard_rows(found.oid, 'ossa_tenant', 'ALL', mine);
        END IF;
        IF has_app THEN
            EXECUTE format('GRANT SELECT ON ossa.%I TO ossa_app', found.name);
            IF found.name <> 'migrations' THEN
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ossa.%I TO ossa_app', found.name);
            END IF;
            IF found.of_tenants OR found.of_tasks THEN
                PERFORM ossa.guard_rows(found.oid, 'ossa_app', 'ALL', 'true');
            END IF;
        END IF;
        IF has_reader AND found.name <> ALL (hidden) THEN
            EXECUTE format('GRANT SELECT ON ossa.%I TO ossa_reader', found.name);
            IF found.of_tenants OR found.of_tasks THEN
                PERFORM ossa.guard_rows(found.oid, 'ossa_reader', 'SELECT', 'true');
            END IF;
        END IF;
    END LOOP;

    -- What runs with the owner's rights is for the runtime alone.
    FOR found IN
        SELECT p.oid::regprocedure::text AS name
        FROM pg_proc p
        WHERE p.pronamespace = 'ossa'::regnamespace AND p.prosecdef
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', found.name);
        IF has_app THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO ossa_app', found.name);
        END IF;
    END LOOP;
END $guard$;

CREATE FUNCTION ossa.guard_rows(of_table oid, for_role text, acts text, condition text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = of_table AND p.polname = for_role) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE POLICY %I ON %s FOR %s TO %I USING (%s)', for_role, of_table::regclass, acts, for_role,
                   condition);
END $$;
