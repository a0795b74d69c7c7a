-- Which policies tenants route by, what users said of answers, and the models that decide.

CREATE TABLE ossa.routing_policies (
    tenant text COLLATE "C" PRIMARY KEY,
    policy json NOT NULL
);

-- `body` is text as the journal's is: a comment may hold what jsonb refuses.
CREATE TABLE ossa.feedback (
    task_id text COLLATE "C" PRIMARY KEY,
    tenant  text COLLATE "C" NOT NULL,
    at      timestamptz NOT NULL,
    body    text NOT NULL
);
CREATE INDEX feedback_by_age ON ossa.feedback (at, task_id);

-- Outcomes are written in the order in which they end: a block range index finds the latest ones and costs no write.
CREATE INDEX outcomes_by_age ON ossa.outcomes USING brin (finished_at) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE ossa.router_models (
    kind        text COLLATE "C" NOT NULL,
    version     integer NOT NULL,
    digest      text NOT NULL,
    card        json NOT NULL,
    content     bytea NOT NULL,
    state       text NOT NULL CHECK (state IN ('candidate', 'live', 'retired')),
    created_at  timestamptz NOT NULL,
    promoted_at timestamptz,
    PRIMARY KEY (kind, version),
    UNIQUE (kind, digest)
);
CREATE UNIQUE INDEX router_models_live ON ossa.router_models (kind) WHERE state = 'live';
-- The files are deflated already.
ALTER TABLE ossa.router_models ALTER COLUMN content SET STORAGE EXTERNAL;
