-- What the scaler saw and decided, and what it keeps for its next start.

-- Five pools each ten seconds are 43,200 rows a day. Columns, widest first, so that a row has no padding but at its end.
-- The key begins with the time: the one index finds a range of time in order, finds what is too old, and grows at its
-- right end alone.
CREATE TABLE ossa.pool_samples (
    at              timestamptz NOT NULL,
    running         double precision NOT NULL,
    queue_wait_s    double precision,
    latency_p99_s   double precision,
    error_rate      double precision,
    cpu             double precision,
    memory          double precision,
    slots_per_agent double precision NOT NULL,
    arrivals        integer NOT NULL,
    queued          integer NOT NULL,
    agents          integer NOT NULL,
    starting        integer NOT NULL,
    draining        integer NOT NULL,
    pool            text COLLATE "C" NOT NULL,
    PRIMARY KEY (at, pool)
);

-- `body` is text as the journal's is: it is read whole, and never looked into.
CREATE TABLE ossa.scale_decisions (
    at   timestamptz PRIMARY KEY,
    body text NOT NULL
);

-- One row.
CREATE TABLE ossa.scaler_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    state     text NOT NULL
);
