-- What compression left out, deflated, until it is too old.
CREATE TABLE ossa.originals (
    tenant     text COLLATE "C" NOT NULL,
    handle     text COLLATE "C" NOT NULL,
    content    bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, handle)
);
CREATE INDEX originals_by_age ON ossa.originals (expires_at);
