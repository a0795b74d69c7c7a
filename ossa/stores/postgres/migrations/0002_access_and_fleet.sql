-- Read and written rarely: `json` keeps the text as it is and lets an operator look into it.

CREATE TABLE ossa.api_keys (
    id            text COLLATE "C" PRIMARY KEY,
    tenant        text COLLATE "C" NOT NULL,
    name          text NOT NULL,
    scopes        text[] NOT NULL,
    prefix        text NOT NULL,
    secret_sha256 bytea NOT NULL UNIQUE,
    created_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    expires_at    timestamptz
);
CREATE INDEX api_keys_of_tenant ON ossa.api_keys (tenant);

CREATE TABLE ossa.pools (
    name     text COLLATE "C" PRIMARY KEY,
    revision integer NOT NULL,
    pool     json NOT NULL
);

CREATE TABLE ossa.agents (
    agent_id text COLLATE "C" PRIMARY KEY,
    agent    json NOT NULL
);

-- One row.
CREATE TABLE ossa.fleet (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    standby   integer NOT NULL DEFAULT 0,
    phase     text
);

CREATE TABLE ossa.secrets (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE ossa.operations (
    id         text COLLATE "C" PRIMARY KEY,
    tenant     text COLLATE "C" NOT NULL,
    open       boolean NOT NULL,
    operation  json NOT NULL
);
CREATE INDEX operations_of_tenant ON ossa.operations (tenant, id);
CREATE INDEX operations_open ON ossa.operations (id) WHERE open;
