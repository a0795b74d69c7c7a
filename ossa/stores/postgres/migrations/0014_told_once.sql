-- What is told once, though it happens again and again or is seen at each start.

-- A budget's limits that were reached, a period.
CREATE TABLE ossa.budget_marks (
    budget_id  text COLLATE "C" NOT NULL,
    period_key text COLLATE "C" NOT NULL,
    hard       boolean NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (budget_id, period_key, hard)
);

-- The settings that a part of the system was started with last: name -> a keyed digest of the value.
CREATE TABLE ossa.configurations (
    part     text COLLATE "C" PRIMARY KEY,
    settings text NOT NULL
);
