-- The list of each agent's life, made from the facts about it by the consumer group `agent-history`. The fact's id is the
-- primary key: what comes twice is kept once.
CREATE TABLE ossa.agent_history (
    event_id text COLLATE "C" PRIMARY KEY,
    number   bigint GENERATED ALWAYS AS IDENTITY,
    tenant   text COLLATE "C" NOT NULL,
    agent    text COLLATE "C" NOT NULL,
    at       timestamptz NOT NULL,
    moment   text NOT NULL
);
CREATE INDEX agent_history_by_agent ON ossa.agent_history (agent, number);
CREATE INDEX agent_history_by_time ON ossa.agent_history (at);
