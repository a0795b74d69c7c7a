-- What is remembered. Tiers hold copies; these rows are the truth.

-- Versions and fences of all items, so that none is ever used again, not even under an id that was forgotten.
CREATE SEQUENCE ossa.memory_fences;

-- Widest first. `content` is null where an object has it, the one stamped `stored`.
CREATE TABLE ossa.memory_items (
    version    bigint NOT NULL,
    fence      bigint NOT NULL,
    stored     bigint,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    used_at    timestamptz NOT NULL,
    expires_at timestamptz,
    uses       integer NOT NULL DEFAULT 0,
    objects    boolean NOT NULL DEFAULT false,
    untidy     boolean NOT NULL DEFAULT true,
    tenant     text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    subject    text COLLATE "C" NOT NULL,
    tier       text NOT NULL CHECK (tier IN ('hot', 'warm', 'cold')),
    digest     text NOT NULL,
    write_id   text NOT NULL,
    facts      jsonb NOT NULL,
    content    text,
    PRIMARY KEY (tenant, id),
    CHECK ((content IS NULL) = (stored IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX memory_items_by_time ON ossa.memory_items (tenant, updated_at, version);
CREATE INDEX memory_items_of_subject ON ossa.memory_items (tenant, subject) WHERE subject <> '';
CREATE INDEX memory_items_untidy ON ossa.memory_items (fence) WHERE untidy;
CREATE INDEX memory_items_idle ON ossa.memory_items (tier, used_at) WHERE tier <> 'cold';
CREATE INDEX memory_items_ending ON ossa.memory_items (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX memory_items_of_kind ON ossa.memory_items (kind, updated_at);

-- What was forgotten, until no copy of it can be left. `ids` null: all of the subject, or of the tenant.
CREATE TABLE ossa.memory_erasures (
    id            text COLLATE "C" PRIMARY KEY,
    fence         bigint NOT NULL,
    at            timestamptz NOT NULL,
    confirmed_at  timestamptz,
    tenant        text NOT NULL,
    subject       text,
    by_ids        boolean NOT NULL,
    asked         text[],
    ids           text[] NOT NULL,
    subjects      text[] NOT NULL
);

CREATE TABLE ossa.memory_grants (
    tenant     text COLLATE "C" NOT NULL,
    grantee    text COLLATE "C" NOT NULL,
    kinds      text[] NOT NULL,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, grantee)
);

-- Who writes an item shares the tenant's lock with other writers and with nobody who forgets: every item that an
-- erasure does not see gets a fence above the erasure's.
CREATE FUNCTION ossa.memory_lock(tenant text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended('ossa.memory:' || tenant, 0);

CREATE FUNCTION ossa.memory_write(
    a_tenant text, a_id text, a_kind text, a_subject text, a_tier text, a_digest text, a_write_id text, a_facts jsonb,
    a_content text, a_expires_at timestamptz, a_if_version bigint, a_at timestamptz
) RETURNS SETOF ossa.memory_items LANGUAGE plpgsql AS $$
DECLARE
    old ossa.memory_items;
    made bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(ossa.memory_lock(a_tenant));
    SELECT * INTO old FROM ossa.memory_items m WHERE m.tenant = a_tenant AND m.id = a_id FOR UPDATE;
    IF old.write_id = a_write_id THEN
        RETURN NEXT old;
        RETURN;
    END IF;
    IF a_if_version <> coalesce(old.version, 0) OR a_kind <> old.kind OR a_subject <> old.subject THEN
        RETURN;
    END IF;
    made := nextval('ossa.memory_fences');
    IF old.id IS NULL THEN
        RETURN QUERY INSERT INTO ossa.memory_items AS m
            (version, fence, created_at, updated_at, used_at, expires_at, tenant, id, kind, subject, tier, digest,
             write_id, facts, content)
        VALUES (made, made, a_at, a_at, a_at, a_expires_at, a_tenant, a_id, a_kind, a_subject, a_tier, a_digest,
                a_write_id, a_facts, a_content)
        ON CONFLICT DO NOTHING
        RETURNING m.*;
        RETURN;
    END IF;
    RETURN QUERY UPDATE ossa.memory_items AS m
        SET version = made, fence = made, stored = NULL, objects = m.objects OR m.stored IS NOT NULL, uses = 0,
            untidy = true, updated_at = a_at, used_at = a_at, expires_at = a_expires_at, tier = a_tier,
            digest = a_digest, write_id = a_write_id, facts = a_facts, content = a_content
        WHERE m.tenant = a_tenant AND m.id = a_id
        RETURNING m.*;
END $$;

CREATE FUNCTION ossa.memory_erase(
    a_id text, a_tenant text, a_subject text, a_ids text[], a_versions bigint[], a_at timestamptz
) RETURNS SETOF ossa.memory_erasures LANGUAGE plpgsql AS $$
DECLARE
    gone_ids text[];
    gone_subjects text[];
BEGIN
    PERFORM pg_advisory_xact_lock(ossa.memory_lock(a_tenant));
    IF EXISTS (SELECT FROM ossa.memory_erasures e WHERE e.id = a_id) THEN
        RETURN QUERY SELECT * FROM ossa.memory_erasures e WHERE e.id = a_id;
        RETURN;
    END IF;
    WITH gone AS (
        DELETE FROM ossa.memory_items m
        WHERE m.tenant = a_tenant
          AND (a_ids IS NOT NULL OR a_subject IS NULL OR m.subject = a_subject)
          AND (a_ids IS NULL OR m.id = ANY (a_ids))
          AND (a_versions IS NULL OR (m.id, m.version) IN (SELECT * FROM unnest(a_ids, a_versions)))
        RETURNING m.id, m.subject
    )
    SELECT coalesce(array_agg(g.id), '{}'), coalesce(array_agg(g.subject), '{}')
    INTO gone_ids, gone_subjects FROM gone g;
    IF gone_ids = '{}' AND a_ids IS NOT NULL THEN
        RETURN;
    END IF;
    RETURN QUERY INSERT INTO ossa.memory_erasures AS e (id, fence, at, tenant, subject, by_ids, asked, ids, subjects)
        VALUES (a_id, nextval('ossa.memory_fences'), a_at, a_tenant, a_subject, a_ids IS NOT NULL, a_ids, gone_ids,
                gone_subjects)
        RETURNING e.*;
END $$;
