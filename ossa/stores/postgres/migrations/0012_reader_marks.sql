-- What a process last noted here is what it looks for on a replica: once the note is there, so is all that was
-- committed before it. One row a process that reads from replicas, written once a second while it does.
CREATE TABLE ossa.reader_marks (
    reader text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL,
    at     timestamptz NOT NULL
) WITH (fillfactor = 50);
